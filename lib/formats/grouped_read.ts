/**
 * Reading a tensor of signed bytes with a scale per group (llama2.c version 2) as float32.
 *
 * @module
 */

import type { InputFile } from "./input_file.ts";
import type { TensorRecord } from "./tensor_file.ts";

/** Yields `byte * scale` as float32 bytes, in order; each chunk is a view that the next one overwrites. */
export function* groupedChunks(
  file: InputFile,
  record: TensorRecord,
  options: { readonly chunkBytes: number },
): Generator<Uint8Array, void, void> {
  const { stored } = record;
  if (stored?.kind !== "grouped") {
    throw new TypeError(`The record of "${record.name}" has no groups`);
  }
  const elements = record.bytes / 4;
  const perChunk = Math.max(1, Math.floor(options.chunkBytes / 4 / stored.group));
  for (let group = 0; group * stored.group < elements; group += perChunk) {
    const count = Math.min(perChunk, elements / stored.group - group);
    const bytes = file.read(record.offset + group * stored.group, count * stored.group);
    const scales = new Float32Array(file.read(stored.scales + 4 * group, 4 * count).buffer);
    const values = new Float32Array(bytes.length);
    const quants = new Int8Array(bytes.buffer);
    // The product of a byte and a float32 is exact in float64, so storing it rounds once, as float32 arithmetic does.
    for (let i = 0; i < values.length; i++) {
      values[i] = quants[i]! * scales[Math.floor(i / stored.group)]!;
    }
    yield new Uint8Array(values.buffer);
  }
}
