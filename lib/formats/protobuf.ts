/**
 * The wire format of Protocol Buffers, as far as a message without a schema can be read: a list of
 * numbered fields. Reading what was written gives the same bytes, unknown fields included.
 *
 * Source: the Protocol Buffers encoding specification (varint, fixed32, fixed64, length-delimited).
 *
 * @module
 */

/** One field of a message in file order. */
export type ProtobufField =
  | { readonly number: number; readonly wire: "varint"; readonly value: bigint }
  | { readonly number: number; readonly wire: "fixed64"; readonly value: bigint }
  | { readonly number: number; readonly wire: "fixed32"; readonly value: number }
  | { readonly number: number; readonly wire: "bytes"; readonly value: Uint8Array };

/** Makes the error that is thrown: what is wrong, and at which byte of the file. */
export type RefuseProtobuf = (what: string, offset: number) => Error;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/**
 * Walks over the fields of one message without copying or keeping them: for files that hold very many.
 * Every length is checked against the bytes that are there.
 */
export class ProtobufReader {
  /** Number of the field that was read last. */
  number = 0;
  /** Start of the last field's bytes, for a field of wire type `bytes`. */
  start = 0;
  /** End of the last field's bytes. */
  end = 0;
  /** Value of the last field, for `varint` up to 2^53 and `fixed32` (its 32 bits). */
  value = 0;
  /** Wire type of the last field. */
  wire: ProtobufField["wire"] = "varint";
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #refuse: RefuseProtobuf;
  #position: number;
  readonly #limit: number;

  /** Makes a reader over `bytes[start, end)`. */
  constructor(bytes: Uint8Array, refuse: RefuseProtobuf, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#refuse = refuse;
    this.#position = start;
    this.#limit = end;
  }

  /** Reads one field; false at the end. */
  next(): boolean {
    if (this.#position >= this.#limit) return false;
    const at = this.#position;
    const key = this.#varint();
    this.number = Math.floor(key / 8);
    if (this.number < 1 || this.number > 536870911) {
      throw this.#refuse(`a field has the number ${this.number}, wanted 1 to 536870911`, at);
    }
    switch (key % 8) {
      case VARINT:
        this.wire = "varint";
        this.start = this.#position;
        this.value = this.#varint();
        this.end = this.#position;
        break;
      case FIXED64:
        this.wire = "fixed64";
        this.#take(8);
        break;
      case FIXED32:
        this.wire = "fixed32";
        this.#take(4);
        this.value = this.#view.getUint32(this.start, true);
        break;
      case BYTES: {
        this.wire = "bytes";
        const length = this.#varint();
        this.#take(length);
        break;
      }
      default:
        throw this.#refuse(`a field has the wire type ${key % 8}, wanted 0, 1, 2 or 5`, at);
    }
    return true;
  }

  #take(length: number): void {
    if (length > this.#limit - this.#position) {
      throw this.#refuse(
        `a field is ${length} bytes long where ${this.#limit - this.#position} are left`,
        this.#position,
      );
    }
    this.start = this.#position;
    this.end = this.#position + length;
    this.#position = this.end;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#position < this.#limit ? this.#bytes[this.#position]! : -1;
      if (byte < 0) throw this.#refuse("the message ends inside a number", this.#position);
      this.#position++;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    throw this.#refuse("a number is longer than 10 bytes", this.#position);
  }

  /** The last field as a float, for wire type `fixed32`. */
  float(): number {
    return this.#view.getFloat32(this.start, true);
  }

  /** The last field as a record of its own, with all 64 bits. */
  field(): ProtobufField {
    const { number, wire } = this;
    switch (wire) {
      case "bytes":
        return { number, wire, value: this.#bytes.slice(this.start, this.end) };
      case "fixed32":
        return { number, wire, value: this.value };
      case "fixed64":
        return { number, wire, value: this.#view.getBigUint64(this.start, true) };
      case "varint": {
        let value = 0n;
        for (let i = this.start, shift = 0n; i < this.end; i++, shift += 7n) {
          value |= BigInt(this.#bytes[i]! & 127) << shift;
        }
        return { number, wire, value: BigInt.asUintN(64, value) };
      }
    }
  }
}

/** Reads all fields of a message. */
export function readProtobuf(
  bytes: Uint8Array,
  options: { refuse: RefuseProtobuf; start?: number; end?: number },
): ProtobufField[] {
  const reader = new ProtobufReader(bytes, options.refuse, options.start, options.end);
  const fields: ProtobufField[] = [];
  while (reader.next()) fields.push(reader.field());
  return fields;
}

/** Appends fields to a growing message. */
export class ProtobufWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** Makes an empty message; `capacity` is the number of bytes expected. */
  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  #key(number: number, wire: number): void {
    this.#varint(BigInt(number * 8 + wire));
  }

  #varint(value: bigint): void {
    this.#reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest > 127n) {
      this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
  }

  /** Appends an integer, enumeration or boolean; a negative number takes ten bytes, as int32 does. */
  varint(number: number, value: bigint | number | boolean): void {
    this.#key(number, VARINT);
    this.#varint(BigInt(value));
  }

  /** Appends the bits of a 32-bit value. */
  fixed32(number: number, bits: number): void {
    this.#key(number, FIXED32);
    this.#reserve(4);
    new DataView(this.#bytes.buffer).setUint32(this.#length, bits, true);
    this.#length += 4;
  }

  /** Appends a float. */
  float(number: number, value: number): void {
    this.#key(number, FIXED32);
    this.#reserve(4);
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  /** Appends a string (as UTF-8), bytes or a finished message. */
  bytes(number: number, value: string | Uint8Array): void {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    this.#key(number, BYTES);
    this.#varint(BigInt(bytes.length));
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Appends a field as it was read. */
  field(field: ProtobufField): void {
    switch (field.wire) {
      case "varint":
        return this.varint(field.number, field.value);
      case "fixed32":
        return this.fixed32(field.number, field.value);
      case "bytes":
        return this.bytes(field.number, field.value);
      case "fixed64":
        this.#key(field.number, FIXED64);
        this.#reserve(8);
        new DataView(this.#bytes.buffer).setBigUint64(this.#length, field.value, true);
        this.#length += 8;
    }
  }

  /** The message so far. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}
