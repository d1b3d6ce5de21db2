/**
 * A growing buffer of little-endian fields, for the headers that are written.
 *
 * @module
 */

/** Appends numbers, strings and bytes; `finish` gives what was written. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1 << 12);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #encoder = new TextEncoder();

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Makes room for `count` bytes and returns where they begin. */
  #grow(count: number): number {
    const start = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }

  /** Appends an unsigned byte. */
  u8(value: number): void {
    const start = this.#grow(1);
    this.#view.setUint8(start, value);
  }

  /** Appends a signed byte. */
  i8(value: number): void {
    const start = this.#grow(1);
    this.#view.setInt8(start, value);
  }

  /** Appends an unsigned 16-bit number. */
  u16(value: number): void {
    const start = this.#grow(2);
    this.#view.setUint16(start, value, true);
  }

  /** Appends a signed 16-bit number. */
  i16(value: number): void {
    const start = this.#grow(2);
    this.#view.setInt16(start, value, true);
  }

  /** Appends an unsigned 32-bit number. */
  u32(value: number): void {
    const start = this.#grow(4);
    this.#view.setUint32(start, value, true);
  }

  /** Appends a signed 32-bit number. */
  i32(value: number): void {
    const start = this.#grow(4);
    this.#view.setInt32(start, value, true);
  }

  /** Appends an unsigned 64-bit number. */
  u64(value: bigint): void {
    const start = this.#grow(8);
    this.#view.setBigUint64(start, value, true);
  }

  /** Appends a signed 64-bit number. */
  i64(value: bigint): void {
    const start = this.#grow(8);
    this.#view.setBigInt64(start, value, true);
  }

  /** Appends a 32-bit float. */
  f32(value: number): void {
    const start = this.#grow(4);
    this.#view.setFloat32(start, value, true);
  }

  /** Appends a 64-bit float. */
  f64(value: number): void {
    const start = this.#grow(8);
    this.#view.setFloat64(start, value, true);
  }

  /** Appends bytes. */
  bytes(bytes: Uint8Array): void {
    const start = this.#grow(bytes.length);
    this.#bytes.set(bytes, start);
  }

  /** Appends zero bytes. */
  zeros(count: number): void {
    this.#grow(count);
  }

  /** Appends text as UTF-8, without a length. */
  text(text: string): void {
    this.bytes(this.#encoder.encode(text));
  }

  /** Appends a string: a 64-bit length, then UTF-8. */
  string(text: string): void {
    const bytes = this.#encoder.encode(text);
    this.u64(BigInt(bytes.length));
    this.bytes(bytes);
  }

  /** What was written, as a view of the buffer. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }
}
