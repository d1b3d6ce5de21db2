/**
 * Reading a matrix whose rows or columns stand in several files.
 *
 * @module
 */

import type { TensorRecord } from "./tensor_file.ts";

/** Yields the bytes of one part in chunks of a length, as `tensorChunks` does. */
export type ChunksOf = (
  part: TensorRecord,
  options: { readonly chunkBytes: number },
) => Generator<Uint8Array, void, void>;

/** Yields the bytes of the whole matrix in row-major order; each chunk is a view that the next one overwrites. */
export function* partsChunks(
  record: TensorRecord,
  options: { readonly chunkBytes: number; readonly chunksOf: ChunksOf },
): Generator<Uint8Array, void, void> {
  const { stored } = record;
  if (stored?.kind !== "parts") throw new TypeError(`The record of "${record.name}" has no parts`);
  if (record.bytes === 0) return;
  if (stored.axis === 1) yield* sideBySide(record, stored.parts, options);
  else for (const part of stored.parts) yield* options.chunksOf(part, options);
}

/** Reads as many rows of every part at a time as fill a chunk. */
function* sideBySide(
  record: TensorRecord,
  parts: readonly TensorRecord[],
  options: { readonly chunkBytes: number; readonly chunksOf: ChunksOf },
): Generator<Uint8Array, void, void> {
  const rows = record.shape[0]!;
  const rowBytes = record.bytes / rows;
  const atOnce = Math.min(rows, Math.max(1, Math.floor(options.chunkBytes / rowBytes)));
  const out = new Uint8Array(atOnce * rowBytes);
  const widths = parts.map((part) => part.bytes / rows);
  const readers = parts.map((part, i) =>
    options.chunksOf(part, { chunkBytes: atOnce * widths[i]! })
  );
  try {
    for (let row = 0; row < rows; row += atOnce) {
      const count = Math.min(atOnce, rows - row);
      let column = 0;
      for (const [i, width] of widths.entries()) {
        const chunk = readers[i]!.next().value;
        if (chunk?.length !== count * width) {
          throw new TypeError(`Part ${i} of "${record.name}" gave other than ${count} rows`);
        }
        for (let r = 0; r < count; r++) {
          out.set(chunk.subarray(r * width, (r + 1) * width), r * rowBytes + column);
        }
        column += width;
      }
      yield out.subarray(0, count * rowBytes);
    }
  } finally {
    for (const reader of readers) reader.return();
  }
}
