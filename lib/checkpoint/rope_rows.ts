/**
 * The order of rows in query and key matrices: the one place where it changes.
 *
 * Rotary positions turn pairs of coordinates of a head: (2i, 2i+1) in Meta's, llama2.c's and GGUF's
 * weights, (i, i + d/2) in Hugging Face's. Row `2i + j` of the former is row `i + j d/2` of the latter,
 * for j = 0, 1; heads stay in order. Source: transformers' `convert_llama_weights_to_hf.py`.
 *
 * @module
 */

import type { RopeLayout } from "../model/rope.ts";
import { inUnits } from "./byte_streams.ts";

/** The row of the other layout that each row of a head is. */
export function ropeRows(headDim: number, to: RopeLayout): Uint32Array {
  const half = headDim / 2;
  return Uint32Array.from(
    { length: headDim },
    (_, row) =>
      to === "half"
        ? 2 * (row % half) + Math.floor(row / half)
        : Math.floor(row / 2) + half * (row % 2),
  );
}

/** Which rows are reordered. */
export interface RopeOrder {
  /** Rows of a head. */
  readonly headDim: number;
  /** Bytes of a row in the element type that flows. */
  readonly rowBytes: number;
  /** The layout that the rows get; they have the other one. */
  readonly to: RopeLayout;
}

/** Yields a matrix of whole heads with its rows in the other order. */
export function* reorderRows(
  chunks: Iterable<Uint8Array>,
  { headDim, rowBytes, to }: RopeOrder,
): Generator<Uint8Array, void, void> {
  const rows = ropeRows(headDim, to);
  const headBytes = headDim * rowBytes;
  let out = new Uint8Array(0);
  for (const chunk of inUnits(chunks, { unitBytes: headBytes })) {
    if (out.length < chunk.length) out = new Uint8Array(chunk.length);
    for (let head = 0; head < chunk.length; head += headBytes) {
      for (let row = 0; row < headDim; row++) {
        const from = head + rows[row]! * rowBytes;
        out.set(chunk.subarray(from, from + rowBytes), head + row * rowBytes);
      }
    }
    yield out.subarray(0, chunk.length);
  }
}
