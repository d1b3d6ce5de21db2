/**
 * A cursor over the little-endian fields of a file's header.
 *
 * @module
 */

import { shortAscii } from "../base/short_ascii.ts";
import type { InputFile } from "./input_file.ts";
import { HEADER_LIMIT, refusal } from "./tensor_file.ts";

const WINDOW = 1 << 16;

/**
 * Reads numbers, strings and arrays one after another; every length is checked against what the file still has before
 * anything is allocated. Errors say what was being read: the `what` of each method.
 */
export class ByteReader {
  /** Position of the next byte in the file. */
  position: number;
  readonly #file: InputFile;
  readonly #end: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #window: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#window.buffer);
  #start = 0;

  /** Starts at `position` of the file; a header that goes on for more than 100 MB is refused. */
  constructor(file: InputFile, position: number = 0) {
    this.#file = file;
    this.position = position;
    this.#end = Math.min(file.size, position + HEADER_LIMIT);
  }

  /** Bytes that the header can still have. */
  get remaining(): number {
    return this.#end - this.position;
  }

  /** The error for something at `offset`, by default where the cursor stands. */
  refuse(what: string, offset: number = this.position): Error {
    return refusal(this.#file.path, what, { offset });
  }

  /** Makes `length` bytes available and returns their index in the window. */
  #take(length: number, what: string): number {
    this.#check(length, what);
    let index = this.position - this.#start;
    if (index + length > this.#window.length) {
      const ahead = Math.min(Math.max(length, WINDOW), this.remaining);
      this.#window = this.#file.read(this.position, ahead);
      this.#view = new DataView(this.#window.buffer);
      this.#start = this.position;
      index = 0;
    }
    this.position += length;
    return index;
  }

  #check(length: number, what: string): void {
    if (length > this.remaining) {
      const limited = this.#end < this.#file.size;
      const why = limited ? `the header passes ${HEADER_LIMIT} bytes` : "the file ends";
      throw this.refuse(`${why} inside ${what}, which wants ${length} bytes`);
    }
  }

  /** Reads bytes; the result is a view that later reads may leave stale, so copy what is kept. */
  bytes(length: number, what: string): Uint8Array {
    const index = this.#take(length, what);
    return this.#window.subarray(index, index + length);
  }

  /** Reads bytes into an array of their own. */
  copy(length: number, what: string): Uint8Array<ArrayBuffer> {
    this.#check(length, what);
    const bytes = new Uint8Array(length);
    this.#file.readInto(bytes, this.position);
    this.position += length;
    return bytes;
  }

  /** Reads an unsigned byte. */
  u8(what: string): number {
    const index = this.#take(1, what);
    return this.#view.getUint8(index);
  }

  /** Reads a signed byte. */
  i8(what: string): number {
    const index = this.#take(1, what);
    return this.#view.getInt8(index);
  }

  /** Reads an unsigned 16-bit number. */
  u16(what: string): number {
    const index = this.#take(2, what);
    return this.#view.getUint16(index, true);
  }

  /** Reads a signed 16-bit number. */
  i16(what: string): number {
    const index = this.#take(2, what);
    return this.#view.getInt16(index, true);
  }

  /** Reads an unsigned 32-bit number. */
  u32(what: string): number {
    const index = this.#take(4, what);
    return this.#view.getUint32(index, true);
  }

  /** Reads a signed 32-bit number. */
  i32(what: string): number {
    const index = this.#take(4, what);
    return this.#view.getInt32(index, true);
  }

  /** Reads an unsigned 64-bit number. */
  u64(what: string): bigint {
    const index = this.#take(8, what);
    return this.#view.getBigUint64(index, true);
  }

  /** Reads a signed 64-bit number. */
  i64(what: string): bigint {
    const index = this.#take(8, what);
    return this.#view.getBigInt64(index, true);
  }

  /** Reads a 32-bit float. */
  f32(what: string): number {
    const index = this.#take(4, what);
    return this.#view.getFloat32(index, true);
  }

  /** Reads a 64-bit float. */
  f64(what: string): number {
    const index = this.#take(8, what);
    return this.#view.getFloat64(index, true);
  }

  /** Reads a 64-bit count of things that take at least `width` bytes each, so that it cannot exceed the file. */
  count(width: number, what: string): number {
    const start = this.position;
    const count = this.u64(what);
    if (count > BigInt(Math.floor(this.remaining / width))) {
      throw this.refuse(
        `${what} is ${count}, and only ${this.remaining} bytes of header can follow`,
        start,
      );
    }
    return Number(count);
  }

  /** Reads a string: a 64-bit length, then UTF-8. */
  string(what: string): string {
    const length = this.count(1, `the length of ${what}`);
    const start = this.position;
    const bytes = this.bytes(length, what);
    const short = shortAscii(bytes);
    if (short !== undefined) return short;
    try {
      return this.#decoder.decode(bytes);
    } catch (thrown) {
      if (thrown instanceof TypeError) throw this.refuse(`${what} is not UTF-8`, start);
      throw thrown;
    }
  }
}
