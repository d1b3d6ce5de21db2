/**
 * Sharded PyTorch models.
 *
 * @module
 */

import { readPytorch } from "./pytorch.ts";
import { readShards, type ShardedModel } from "./sharded_index.ts";

/** Reads a sharded model from its `pytorch_model.bin.index.json`; throws as {@linkcode readShards} does. */
export function readPytorchIndex(path: string): Promise<ShardedModel> {
  return readShards(path, readPytorch);
}
