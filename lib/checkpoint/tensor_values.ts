/**
 * The numbers of a tensor, chunk by chunk, whatever its element type.
 *
 * @module
 */

import { decodeBf16, decodeF16 } from "../base/float16.ts";
import { blockOf } from "../formats/file_dtype.ts";
import { tensorChunks } from "../formats/read_tensor.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import { BLOCK_DECODERS } from "./block_values.ts";

/** Elements as numbers, in the narrower type that holds them exactly. */
export type Values = Float32Array | Float64Array;

/** Turns the bytes of whole blocks into numbers. */
type Widen = (bytes: Uint8Array) => Values;

/** A copy where the bytes do not begin where a typed array can. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice();
}

function halves(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset, length } = aligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, length / 2);
}

const FLOATS: Readonly<Record<string, Widen>> = {
  f32: (bytes) => {
    const { buffer, byteOffset, length } = aligned(bytes, 4);
    return new Float32Array(buffer, byteOffset, length / 4);
  },
  f64: (bytes) => {
    const { buffer, byteOffset, length } = aligned(bytes, 8);
    return new Float64Array(buffer, byteOffset, length / 8);
  },
  f16: (bytes) => decodeF16(halves(bytes)),
  bf16: (bytes) => decodeBf16(halves(bytes)),
};

function widenBlocks(dtype: string): Widen | undefined {
  const decode = BLOCK_DECODERS[dtype];
  const block = blockOf(dtype);
  if (decode === undefined || block === undefined) return undefined;
  return (bytes) => {
    const blocks = bytes.length / block.bytes;
    const out = new Float32Array(blocks * block.elements);
    for (let i = 0; i < blocks; i++) {
      decode(bytes, { at: i * block.bytes, out, to: i * block.elements });
    }
    return out;
  };
}

/** Bytes read at once: few enough to stay in the cache. */
const CHUNK_BYTES = 1 << 20;

/**
 * Yields a tensor's numbers in order, or `undefined` where its element type is not decoded (blocks
 * other than q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k and q6_k; integers). A chunk is overwritten by
 * the next.
 */
export function tensorValues(record: TensorRecord): Iterable<Values> | undefined {
  const { dtype } = record;
  const widen = Object.hasOwn(FLOATS, dtype) ? FLOATS[dtype] : widenBlocks(dtype);
  const block = blockOf(dtype);
  if (widen === undefined || block === undefined) return undefined;
  const chunkBytes = Math.floor(CHUNK_BYTES / block.bytes) * block.bytes;
  return {
    *[Symbol.iterator]() {
      for (const chunk of tensorChunks(record, { chunkBytes })) yield widen(chunk);
    },
  };
}
