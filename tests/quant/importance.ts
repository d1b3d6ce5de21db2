/**
 * Importance files as bytes, for tests.
 *
 * @module
 */

import { bytesOf, u32 } from "../formats/folder.ts";

/** An entry of the binary layout. */
export interface Entry {
  /** The matrix. */
  readonly name: string;
  /** Sums of every column. */
  readonly values: Float32Array;
  /** How many sums were added; 1 without it. */
  readonly calls?: number;
}

/** The binary layout of old; what stands at the end is the caller's. */
export function binaryImportance(
  entries: readonly Entry[],
  end: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const parts = entries.map(({ name, values, calls = 1 }) =>
    bytesOf(
      u32(name.length),
      name,
      u32(calls),
      u32(values.length),
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    )
  );
  return bytesOf(u32(entries.length), ...parts, end);
}
