/**
 * Streaming one tensor's bytes into an output file.
 *
 * @module
 */

import type { AtomicFile } from "../base/atomic_file.ts";
import { quoted } from "../base/quoted.ts";
import { tensorBytes } from "./file_dtype.ts";
import type { TensorSource } from "./tensor_file.ts";

/** Appends a source's bytes, checks that they are as many as its type and shape say, and returns how many. */
export async function writeTensorBytes(file: AtomicFile, source: TensorSource): Promise<number> {
  const bytes = tensorBytes(source.dtype, source.shape);
  if (bytes === undefined) throw new TypeError(`Tensor ${quoted(source.name)} has no size`);
  const start = file.length;
  const chunks = typeof source.data === "function" ? source.data() : [source.data];
  for await (const chunk of chunks) {
    if (file.length - start + chunk.length > bytes) throw wrongLength(source, "more than", bytes);
    file.write(chunk);
  }
  const written = file.length - start;
  if (written !== bytes) throw wrongLength(source, `${written} of`, bytes);
  return bytes;
}

function wrongLength(source: TensorSource, got: string, bytes: number): Error {
  return new RangeError(`The source of tensor ${quoted(source.name)} gave ${got} ${bytes} bytes`);
}
