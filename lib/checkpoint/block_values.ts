/**
 * The numbers in ggml's quantized blocks.
 *
 * Arithmetic is ggml's own: float32 after every operation, so that the values are the same bits.
 * Layouts: ggml's `ggml-common.h`; all numbers little-endian, `d`, `m` and `dmin` in half precision.
 *
 * @module
 */

import { f16ToF32 } from "../base/float16.ts";

/** Writes the values of whole blocks to `out`, which has room for exactly them. */
export type BlockDecoder = (bytes: Uint8Array, out: Float32Array) => void;

const { fround } = Math;

function half(bytes: Uint8Array, at: number): number {
  return f16ToF32(bytes[at]! | (bytes[at + 1]! << 8));
}

function decodeQ8_0(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 34, to += 32) {
    const d = half(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24);
  }
}

/** Four or five bits for each of 32 values: `d * (q - middle)`, or `d * q + m`. */
function legacy(layout: { readonly fifthBit: boolean; readonly minimum: boolean }): BlockDecoder {
  const { fifthBit, minimum } = layout;
  const highAt = minimum ? 4 : 2;
  const lowAt = highAt + (fifthBit ? 4 : 0);
  const middle = minimum ? 0 : fifthBit ? 16 : 8;
  const blockBytes = lowAt + 16;
  return (bytes, out) => {
    for (let at = 0, to = 0; at < bytes.length; at += blockBytes, to += 32) {
      const d = half(bytes, at);
      const m = minimum ? half(bytes, at + 2) : 0;
      for (let i = 0; i < 32; i++) {
        const byte = bytes[at + lowAt + (i & 15)]!;
        const low = i < 16 ? byte & 15 : byte >> 4;
        const fifth = fifthBit ? (bytes[at + highAt + (i >> 3)]! >> (i & 7)) & 1 : 0;
        const scaled = fround(d * ((low | (fifth << 4)) - middle));
        out[to + i] = minimum ? scaled + m : scaled;
      }
    }
  };
}

/** Scale of one of eight groups, six bits each, packed with the minima in twelve bytes. */
function scaleOf(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group]! & 63;
  return (bytes[at + group + 4]! & 15) | ((bytes[at + group - 4]! >> 6) << 4);
}

/** Minimum of one of eight groups. */
function minimumOf(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group + 4]! & 63;
  return (bytes[at + group + 4]! >> 4) | ((bytes[at + group]! >> 6) << 4);
}

/** Four or five bits for each of 256 values in groups of 32: `(d * scale) * q - dmin * minimum`. */
function grouped(fifthBit: boolean): BlockDecoder {
  const lowAt = fifthBit ? 48 : 16;
  const blockBytes = lowAt + 128;
  return (bytes, out) => {
    for (let at = 0, to = 0; at < bytes.length; at += blockBytes, to += 256) {
      const d = half(bytes, at);
      const dmin = half(bytes, at + 2);
      for (let group = 0; group < 8; group++) {
        const step = fround(d * scaleOf(bytes, at + 4, group));
        const offset = fround(dmin * minimumOf(bytes, at + 4, group));
        const from = at + lowAt + 32 * (group >> 1);
        for (let i = 0; i < 32; i++) {
          const low = (bytes[from + i]! >> (4 * (group & 1))) & 15;
          const fifth = fifthBit ? (bytes[at + 16 + i]! >> group) & 1 : 0;
          out[to + 32 * group + i] = fround(step * (low | (fifth << 4))) - offset;
        }
      }
    }
  };
}

/** Two bits for each of 256 values in groups of 16: `(d * scale) * q - dmin * minimum`. */
function decodeQ2_K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 84, to += 256) {
    const d = half(bytes, at + 80);
    const dmin = half(bytes, at + 82);
    for (let group = 0; group < 16; group++) {
      const step = fround(d * (bytes[at + group]! & 15));
      const offset = fround(dmin * (bytes[at + group]! >> 4));
      const from = at + 16 + 32 * (group >> 3) + 16 * (group & 1);
      const shift = group & 6;
      for (let i = 0; i < 16; i++) {
        out[to + 16 * group + i] = fround(step * ((bytes[from + i]! >> shift) & 3)) - offset;
      }
    }
  }
}

/** Three bits for each of 256 values in groups of 16: `d * (scale - 32) * (q - 4)`. */
function decodeQ3_K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 110, to += 256) {
    const d = half(bytes, at + 108);
    for (let group = 0; group < 16; group++) {
      const low = bytes[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4);
      const high = bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2));
      const step = fround(d * (((low & 15) | ((high & 3) << 4)) - 32));
      const within = 16 * (group & 1);
      const from = at + 32 + 32 * (group >> 3) + within;
      for (let i = 0; i < 16; i++) {
        const third = (bytes[at + within + i]! >> (group >> 1)) & 1;
        const q = ((bytes[from + i]! >> (group & 6)) & 3) | (third << 2);
        out[to + 16 * group + i] = step * (q - 4);
      }
    }
  }
}

/** Six bits for each of 256 values in groups of 16: `d * scale * (q - 32)`. */
function decodeQ6_K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 210, to += 256) {
    const d = half(bytes, at + 208);
    for (let i = 0; i < 256; i++) {
      const inHalf = i & 127;
      const low = bytes[at + 64 * (i >> 7) + (inHalf & 63)]! >> (inHalf < 64 ? 0 : 4);
      const high = bytes[at + 128 + 32 * (i >> 7) + (i & 31)]! >> (2 * (inHalf >> 5));
      const scale = (bytes[at + 192 + (i >> 4)]! << 24) >> 24;
      out[to + i] = fround(d * scale) * (((low & 15) | ((high & 3) << 4)) - 32);
    }
  }
}

/** Decoders by element type; types that are absent are not decoded here. */
export const BLOCK_DECODERS: Readonly<Record<string, BlockDecoder>> = {
  q8_0: decodeQ8_0,
  q4_0: legacy({ fifthBit: false, minimum: false }),
  q4_1: legacy({ fifthBit: false, minimum: true }),
  q5_0: legacy({ fifthBit: true, minimum: false }),
  q5_1: legacy({ fifthBit: true, minimum: true }),
  q2_k: decodeQ2_K,
  q3_k: decodeQ3_K,
  q4_k: grouped(false),
  q5_k: grouped(true),
  q6_k: decodeQ6_K,
};
