/**
 * The numbers of a tensor, chunk by chunk, whatever its element type.
 *
 * @module
 */

import { decodeF16 } from "../base/float16.ts";
import { blockOf } from "../formats/file_dtype.ts";
import { tensorChunks } from "../formats/read_tensor.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import { BLOCK_DECODERS } from "./block_values.ts";

/** Elements as numbers, in the narrower type that holds them exactly. */
export type Values = Float32Array | Float64Array;

/** Turns the bytes of whole blocks into numbers; the next call may overwrite them. */
type Widen = (bytes: Uint8Array) => Values;

/** The bytes as another array: over the same memory where it begins at a multiple of the width. */
function view<T>(
  bytes: Uint8Array,
  of: { readonly BYTES_PER_ELEMENT: number; new (...place: [ArrayBufferLike, number, number]): T },
): T {
  const width = of.BYTES_PER_ELEMENT;
  const { buffer, byteOffset, length } = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return new of(buffer, byteOffset, length / width);
}

/** Gives an array of a length, the same one again where it is long enough. */
function reused(): (length: number) => Float32Array {
  let kept = new Float32Array(0);
  return (length) => {
    if (kept.length < length) kept = new Float32Array(length);
    return kept.subarray(0, length);
  };
}

/** All 65,536 half-precision numbers: looking up is many times faster than computing. */
function halfTable(): Float32Array {
  return decodeF16(Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits));
}

function widenHalves(): Widen {
  const [table, room] = [halfTable(), reused()];
  return (bytes) => {
    const halves = view(bytes, Uint16Array);
    const out = room(halves.length);
    for (let i = 0; i < halves.length; i++) out[i] = table[halves[i]!]!;
    return out;
  };
}

function widenBfloats(): Widen {
  const room = reused();
  return (bytes) => {
    const halves = view(bytes, Uint16Array);
    const out = room(halves.length);
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
    return out;
  };
}

function widenBlocks(dtype: string): Widen | undefined {
  const decode = BLOCK_DECODERS[dtype];
  const block = blockOf(dtype);
  if (decode === undefined || block === undefined) return undefined;
  const room = reused();
  return (bytes) => {
    const out = room((bytes.length / block.bytes) * block.elements);
    decode(bytes, out);
    return out;
  };
}

function widening(dtype: string): Widen | undefined {
  switch (dtype) {
    case "f32":
      return (bytes) => view(bytes, Float32Array);
    case "f64":
      return (bytes) => view(bytes, Float64Array);
    case "f16":
      return widenHalves();
    case "bf16":
      return widenBfloats();
    default:
      return widenBlocks(dtype);
  }
}

/** Bytes read at once: few enough to stay in the cache. */
const CHUNK_BYTES = 1 << 20;

/**
 * Yields a tensor's numbers in order, or `undefined` where its element type is not decoded (blocks
 * other than q8_0, q4_0, q4_1, q5_0, q5_1 and q2_k to q6_k; integers). A chunk is overwritten by
 * the next.
 */
export function tensorValues(record: TensorRecord): Iterable<Values> | undefined {
  const { dtype } = record;
  const widen = widening(dtype);
  const block = blockOf(dtype);
  if (widen === undefined || block === undefined) return undefined;
  const chunkBytes = Math.floor(CHUNK_BYTES / block.bytes) * block.bytes;
  return {
    *[Symbol.iterator]() {
      for (const chunk of tensorChunks(record, { chunkBytes })) yield widen(chunk);
    },
  };
}
