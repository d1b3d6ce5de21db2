/**
 * Sharded safetensors models.
 *
 * @module
 */

import { readSafetensors } from "./safetensors.ts";
import { readShards, type ShardedModel } from "./sharded_index.ts";

/** Reads a sharded model from its `*.safetensors.index.json`; throws as {@linkcode readShards} does. */
export function readSafetensorsIndex(path: string): Promise<ShardedModel> {
  return readShards(path, readSafetensors);
}
