/**
 * Writes importance files as llama.cpp's `llama-imatrix` does, in its GGUF layout.
 *
 * @module
 */

import type { AtomicFileOptions } from "../base/atomic_file.ts";
import type { GgufValue } from "../formats/gguf_types.ts";
import { writeGguf } from "../formats/gguf_write.ts";
import type { TensorSource } from "../formats/tensor_file.ts";

/** Sums of the squares of one matrix's inputs. */
export interface ImportanceSums {
  /** GGUF's name of the matrix. */
  readonly name: string;
  /** Sum of the squares of what was multiplied by each column. */
  readonly squares: Float64Array;
  /** Rows of inputs that were added. */
  readonly rows: number;
}

/** What was collected from a text. */
export interface CollectedImportance {
  /** One entry for each matrix. */
  readonly entries: readonly ImportanceSums[];
  /** Windows that were run. */
  readonly chunks: number;
  /** Tokens of a window. */
  readonly chunkTokens: number;
}

/** What else is written. */
export interface WriteImportanceOptions extends AtomicFileOptions {
  /** Name of the text. */
  readonly dataset: string;
}

/** Writes an importance file. @throws {LlameroError} When the path exists or cannot be written. */
export async function writeImportance(
  path: string,
  collected: CollectedImportance,
  options: WriteImportanceOptions,
): Promise<void> {
  const metadata = new Map<string, GgufValue>([
    ["general.type", { type: "string", value: "imatrix" }],
    ["imatrix.datasets", { type: "array", of: "string", value: [options.dataset] }],
    ["imatrix.chunk_count", { type: "u32", value: collected.chunks }],
    ["imatrix.chunk_size", { type: "u32", value: collected.chunkTokens }],
  ]);
  const tensors = collected.entries.flatMap(({ name, squares, rows }): TensorSource[] => [
    f32(`${name}.in_sum2`, [1, squares.length], Float32Array.from(squares)),
    f32(`${name}.counts`, [1, 1], Float32Array.of(rows)),
  ]);
  await writeGguf(path, tensors, { metadata, force: options.force });
}

function f32(name: string, shape: readonly number[], values: Float32Array): TensorSource {
  return { name, dtype: "f32", shape, data: new Uint8Array(values.buffer) };
}
