/**
 * How far the numbers of a quantized tensor are from those that it was made of.
 *
 * @module
 */

import { decodeF16 } from "../base/float16.ts";
import { BLOCK_DECODERS, type BlockDecoder } from "../checkpoint/block_values.ts";

/** How far a quantized tensor is from its values. */
export interface TensorError {
  /** Root of the mean square of the differences. */
  readonly rms: number;
  /** The same over the root of the mean square of the numbers; 0 where all of them are 0. */
  readonly relative: number;
}

function decoderOf(dtype: string): BlockDecoder {
  const decode = BLOCK_DECODERS[dtype];
  if (decode !== undefined) return decode;
  if (dtype === "f16") {
    return (bytes, out) =>
      void out.set(decodeF16(new Uint16Array(bytes.buffer, bytes.byteOffset, out.length)));
  }
  throw new TypeError(`${dtype} is not what weights are quantized to`);
}

/** Adds up the squares of differences, chunk by chunk, in double precision. */
export class ErrorMeter {
  readonly #decode: BlockDecoder;
  #values = new Float32Array(0);
  #squares = 0;
  #differences = 0;
  #count = 0;

  /** Measures tensors of one type: blocks, or f16. */
  constructor(dtype: string) {
    this.#decode = decoderOf(dtype);
  }

  /** Compares numbers with what became of them. */
  add(wanted: Float32Array, bytes: Uint8Array): void {
    if (this.#values.length < wanted.length) this.#values = new Float32Array(wanted.length);
    const values = this.#values.subarray(0, wanted.length);
    this.#decode(bytes, values);
    let [squares, differences] = [0, 0];
    for (let i = 0; i < wanted.length; i++) {
      const x = wanted[i]!;
      const difference = x - values[i]!;
      squares += x * x;
      differences += difference * difference;
    }
    this.#squares += squares;
    this.#differences += differences;
    this.#count += wanted.length;
  }

  /** The error of everything so far. */
  error(): TensorError {
    const rms = this.#count === 0 ? 0 : Math.sqrt(this.#differences / this.#count);
    const relative = this.#squares === 0 ? 0 : Math.sqrt(this.#differences / this.#squares);
    return { rms, relative };
  }
}
