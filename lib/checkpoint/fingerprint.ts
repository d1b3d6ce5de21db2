/**
 * What tells one model from another without reading all of it.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { tensorChunks } from "../formats/read_tensor.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Bytes of each tensor that count: training changes every one of them, nobody edits the rest alone. */
const SAMPLE_BYTES = 4096;

/**
 * SHA-256, in hexadecimal, of a model's config, of its tensors' names, types and shapes, and of the first 4096
 * bytes of each.
 */
export function checkpointFingerprint(checkpoint: Checkpoint): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([checkpoint.config, checkpoint.ropeLayout]));
  for (const [name, record] of checkpoint.tensors) {
    hash.update(JSON.stringify([name, record.dtype, record.shape]));
    for (const chunk of tensorChunks(record, { chunkBytes: SAMPLE_BYTES })) {
      hash.update(chunk.subarray(0, SAMPLE_BYTES));
      break;
    }
  }
  return hash.digest("hex");
}
