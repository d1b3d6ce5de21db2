/**
 * The headers of weight files, in whichever container they are.
 *
 * @module
 */

import { readPytorch } from "../formats/pytorch.ts";
import { readPytorchIndex } from "../formats/pytorch_index.ts";
import { readSafetensors } from "../formats/safetensors.ts";
import { readSafetensorsIndex } from "../formats/safetensors_index.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { DetectedCheckpoint } from "./detect.ts";

/** The tensors of a weight file, or of all shards of an index. */
export interface WeightFiles {
  /** Tensors by the names that the files give them. */
  readonly records: ReadonlyMap<string, TensorRecord>;
  /** Paths of the files that hold them, in the index's order. */
  readonly files: readonly string[];
  /** What the files say of themselves. */
  readonly metadata: ReadonlyMap<string, unknown>;
}

/** Reads the headers of the safetensors or PyTorch files that were detected. */
export async function readWeightFiles(found: DetectedCheckpoint): Promise<WeightFiles> {
  const { container, weights } = found;
  switch (container) {
    case "safetensors index":
    case "pytorch index": {
      const read = container === "pytorch index" ? readPytorchIndex : readSafetensorsIndex;
      const { records, shards, metadata } = await read(weights);
      return { records, files: shards, metadata };
    }
    case "pytorch": {
      const { records } = await readPytorch(weights);
      return { records, files: [weights], metadata: new Map() };
    }
    default: {
      const { records, metadata } = await readSafetensors(weights);
      return { records, files: [weights], metadata };
    }
  }
}
