/**
 * How many bytes the element types of checkpoint files take.
 *
 * This table knows every type that a file may legally hold, computable here or not, so that a file can be listed and
 * its layout checked before anybody asks whether a kernel can read it.
 *
 * @module
 */

import { DTYPE_BLOCKS, type DTypeBlock } from "../tensor/dtype.ts";

/** Bytes of the plain types that no kernel knows. */
const PLAIN: Readonly<Record<string, number>> = {
  bool: 1,
  u8: 1,
  f8_e5m2: 1,
  f8_e4m3: 1,
  f8_e8m0: 1,
  i16: 2,
  u16: 2,
  u32: 4,
  c64: 8,
  f64: 8,
  u64: 8,
};

/** Elements and bytes per block of the types that no kernel knows, from ggml's block structures. */
const BLOCKED: Readonly<Record<string, readonly [elements: number, bytes: number]>> = {
  iq2_xxs: [256, 66],
  iq2_xs: [256, 74],
  iq3_xxs: [256, 98],
  iq1_s: [256, 50],
  iq4_nl: [32, 18],
  iq3_s: [256, 110],
  iq2_s: [256, 82],
  iq4_xs: [256, 136],
  iq1_m: [256, 56],
  tq1_0: [256, 54],
  tq2_0: [256, 66],
  mxfp4: [32, 17],
  nvfp4: [64, 36],
  q1_0: [128, 18],
  q2_0: [64, 18],
};

const TABLE: ReadonlyMap<string, DTypeBlock> = new Map([
  ...Object.entries(DTYPE_BLOCKS),
  ...Object.entries(PLAIN).map(([name, bytes]) => [name, { elements: 1, bytes }] as const),
  ...Object.entries(BLOCKED).map(([name, [elements, bytes]]) =>
    [name, { elements, bytes }] as const
  ),
]);

/** The block of a file's element type (lower case: `"f32"`, `"q8_0"`), or `undefined` for an unknown type. */
export function blockOf(dtype: string): DTypeBlock | undefined {
  return TABLE.get(dtype);
}

/** The element count of a shape, or `undefined` where a dimension is no count or the product passes 2^53. */
export function elementsOf(shape: readonly number[]): number | undefined {
  let elements = 1;
  for (const extent of shape) {
    if (!Number.isSafeInteger(extent) || extent < 0) return undefined;
    elements *= extent;
    if (!Number.isSafeInteger(elements)) return undefined;
  }
  return elements;
}

/**
 * The bytes of a contiguous tensor, `elements / block elements * block bytes`, or `undefined` where the type is
 * unknown, the row (the last axis) is no multiple of the block, or the number passes 2^53.
 */
export function tensorBytes(dtype: string, shape: readonly number[]): number | undefined {
  const block = blockOf(dtype);
  const elements = elementsOf(shape);
  if (block === undefined || elements === undefined) return undefined;
  if ((shape.at(-1) ?? 1) % block.elements !== 0) return undefined;
  const bytes = (elements / block.elements) * block.bytes;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Rounds a number of bytes up to a multiple of the alignment. */
export function padded(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
