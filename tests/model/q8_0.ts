/**
 * q8_0 blocks by the format's definition: 32 elements share a half precision scale d = max|x| / 127,
 * and each is round(x / d) in a byte.
 *
 * @module
 */

import { decodeF16, encodeF16 } from "../../lib/base/float16.ts";

const BLOCK = 32;
const BYTES = 34;

/** Packs numbers, whose count is a multiple of 32. */
export function quantizeQ8(values: Float32Array): Uint8Array {
  const blocks = values.length / BLOCK;
  const bytes = new Uint8Array(blocks * BYTES);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const part = values.subarray(block * BLOCK, (block + 1) * BLOCK);
    const scale = Math.fround(part.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(block * BYTES, encodeF16(Float32Array.of(scale))[0]!, true);
    part.forEach((x, i) => {
      const scaled = Math.fround(x * inverse);
      // Halves go away from zero, as C's roundf has it.
      view.setInt8(block * BYTES + 2 + i, Math.sign(scaled) * Math.round(Math.abs(scaled)));
    });
  }
  return bytes;
}

/** Unpacks blocks; every number is exact. */
export function dequantizeQ8(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.length / BYTES * BLOCK);
  for (let i = 0; i < values.length; i++) {
    const block = Math.floor(i / BLOCK) * BYTES;
    const scale = decodeF16(Uint16Array.of(view.getUint16(block, true)))[0]!;
    values[i] = scale * view.getInt8(block + 2 + i % BLOCK);
  }
  return values;
}
