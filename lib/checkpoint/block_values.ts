/**
 * The numbers in ggml's quantized blocks, one block at a time.
 *
 * Arithmetic is ggml's own: float32 after every operation, so that the values are the same bits.
 * Layouts: ggml's `ggml-common.h`; all numbers little-endian, `d`, `m` and `dmin` in half precision.
 *
 * @module
 */

import { f16ToF32 } from "../base/float16.ts";

/** Writes the values of the block that begins at byte `at` of `bytes` to `out` from `to` on. */
export type BlockDecoder = (
  bytes: Uint8Array,
  place: { readonly at: number; readonly out: Float32Array; readonly to: number },
) => void;

const { fround } = Math;

function half(bytes: Uint8Array, at: number): number {
  return f16ToF32(bytes[at]! | (bytes[at + 1]! << 8));
}

const q8_0: BlockDecoder = (bytes, { at, out, to }) => {
  const d = half(bytes, at);
  for (let i = 0; i < 32; i++) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24);
};

/** Four or five bits for each of 32 values: `d * (q - middle)`, or `d * q + m`. */
function legacy(layout: { readonly fifthBit: boolean; readonly minimum: boolean }): BlockDecoder {
  const highAt = layout.minimum ? 4 : 2;
  const lowAt = highAt + (layout.fifthBit ? 4 : 0);
  const middle = layout.minimum ? 0 : layout.fifthBit ? 16 : 8;
  return (bytes, { at, out, to }) => {
    const d = half(bytes, at);
    const m = layout.minimum ? half(bytes, at + 2) : 0;
    for (let i = 0; i < 32; i++) {
      const byte = bytes[at + lowAt + (i & 15)]!;
      const low = i < 16 ? byte & 15 : byte >> 4;
      const fifth = layout.fifthBit ? (bytes[at + highAt + (i >> 3)]! >> (i & 7)) & 1 : 0;
      const scaled = fround(d * ((low | (fifth << 4)) - middle));
      out[to + i] = layout.minimum ? scaled + m : scaled;
    }
  };
}

/** Scale and minimum of one of eight groups, six bits each, packed in twelve bytes. */
function sixBits(bytes: Uint8Array, at: number, group: number): readonly [number, number] {
  if (group < 4) return [bytes[at + group]! & 63, bytes[at + group + 4]! & 63];
  const low = bytes[at + group + 4]!;
  return [
    (low & 15) | ((bytes[at + group - 4]! >> 6) << 4),
    (low >> 4) | ((bytes[at + group]! >> 6) << 4),
  ];
}

/** Four or five bits for each of 256 values in groups of 32: `(d * scale) * q - dmin * minimum`. */
function grouped(fifthBit: boolean): BlockDecoder {
  const lowAt = fifthBit ? 48 : 16;
  return (bytes, { at, out, to }) => {
    const d = half(bytes, at);
    const dmin = half(bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const [scale, minimum] = sixBits(bytes, at + 4, group);
      const step = fround(d * scale);
      const offset = fround(dmin * minimum);
      for (let i = 0; i < 32; i++) {
        const byte = bytes[at + lowAt + 32 * (group >> 1) + i]!;
        const low = group & 1 ? byte >> 4 : byte & 15;
        const fifth = fifthBit ? (bytes[at + 16 + i]! >> group) & 1 : 0;
        out[to + 32 * group + i] = fround(step * (low | (fifth << 4))) - offset;
      }
    }
  };
}

/** Six bits for each of 256 values in groups of 16: `d * scale * (q - 32)`. */
const q6_k: BlockDecoder = (bytes, { at, out, to }) => {
  const d = half(bytes, at + 208);
  for (let i = 0; i < 256; i++) {
    const inHalf = i & 127;
    const base = at + (i >> 7) * 64;
    const low = bytes[base + (inHalf & 63)]!;
    const nibble = inHalf < 64 ? low & 15 : low >> 4;
    const high = bytes[at + 128 + (i >> 7) * 32 + (i & 31)]! >> (2 * (inHalf >> 5));
    const scale = (bytes[at + 192 + (i >> 4)]! << 24) >> 24;
    out[to + i] = fround(d * scale) * ((nibble | ((high & 3) << 4)) - 32);
  }
};

/** Decoders by element type; types that are absent are not decoded here. */
export const BLOCK_DECODERS: Readonly<Record<string, BlockDecoder>> = {
  q8_0,
  q4_0: legacy({ fifthBit: false, minimum: false }),
  q4_1: legacy({ fifthBit: false, minimum: true }),
  q5_0: legacy({ fifthBit: true, minimum: false }),
  q5_1: legacy({ fifthBit: true, minimum: true }),
  q4_k: grouped(false),
  q5_k: grouped(true),
  q6_k,
};
