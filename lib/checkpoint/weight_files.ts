/**
 * The headers of weight files, in whichever container they are.
 *
 * @module
 */

import { readSafetensors } from "../formats/safetensors.ts";
import { readSafetensorsIndex } from "../formats/safetensors_index.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { DetectedCheckpoint } from "./detect.ts";

/** The tensors of a weight file, or of all shards of an index. */
export interface WeightFiles {
  /** Tensors by the names that the files give them. */
  readonly records: ReadonlyMap<string, TensorRecord>;
  /** The files. */
  readonly files: readonly string[];
  /** What the files say of themselves. */
  readonly metadata: ReadonlyMap<string, unknown>;
}

/** Reads the headers of the weight files that were detected. */
export async function readWeightFiles(found: DetectedCheckpoint): Promise<WeightFiles> {
  if (found.container === "safetensors index") {
    const { records, shards, metadata } = await readSafetensorsIndex(found.weights);
    return { records, files: shards, metadata };
  }
  const { records, metadata } = await readSafetensors(found.weights);
  return { records, files: [found.weights], metadata };
}
