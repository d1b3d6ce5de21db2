/**
 * q8_0 blocks in plain TypeScript: 32 signed bytes and a half-precision scale before them.
 *
 * @module
 */

import { f16ToF32, f32ToF16 } from "../../lib/base/float16.ts";

/** Elements of a block. */
const BLOCK_ELEMENTS = 32;
/** Bytes of a block. */
const BLOCK_BYTES = 34;

const roundHalfAway = (x: number) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5);

/** Quantizes float32 numbers: d = max|x| / 127, q = round(x / d) with the d before it is rounded. */
export function encodeQ8(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const blocks = values.length / BLOCK_ELEMENTS;
  const bytes = new Uint8Array(blocks * BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const element = (i: number) => values[block * BLOCK_ELEMENTS + i]!;
    let largest = 0;
    for (let i = 0; i < BLOCK_ELEMENTS; i++) largest = Math.max(largest, Math.abs(element(i)));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(block * BLOCK_BYTES, f32ToF16(scale), true);
    for (let i = 0; i < BLOCK_ELEMENTS; i++) {
      const quant = roundHalfAway(Math.fround(element(i) * inverse));
      view.setInt8(block * BLOCK_BYTES + 2 + i, quant);
    }
  }
  return bytes;
}

/** The numbers that blocks stand for: x = d * q. */
export function decodeQ8(bytes: Uint8Array<ArrayBuffer>): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float64Array((bytes.length / BLOCK_BYTES) * BLOCK_ELEMENTS);
  for (let i = 0; i < values.length; i++) {
    const block = Math.floor(i / BLOCK_ELEMENTS) * BLOCK_BYTES;
    const quant = view.getInt8(block + 2 + (i % BLOCK_ELEMENTS));
    values[i] = f16ToF32(view.getUint16(block, true)) * quant;
  }
  return values;
}
