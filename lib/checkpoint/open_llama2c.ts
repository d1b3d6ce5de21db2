/**
 * Opens a llama2.c checkpoint.
 *
 * @module
 */

import { readLlama2c } from "../formats/llama2c.ts";
import { parseLlama2cConfig } from "../model/config_llama2c.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { DetectedCheckpoint } from "./detect.ts";
import { matchTensors } from "./match.ts";

/** Opens what `detectCheckpoint` found to be a llama2.c file; its tokenizer is always another file. */
export async function openLlama2c(found: DetectedCheckpoint): Promise<Checkpoint> {
  const file = await readLlama2c(found.weights);
  const config = parseLlama2cConfig(file);
  // The file has no names; the reader gives its arrays those of llama2.c's own model, Meta's.
  const tensors = matchTensors(file.records, config, {
    scheme: "meta",
    path: found.path,
    configName: "its header",
  });
  return {
    format: "llama2c",
    path: found.path,
    files: [found.weights],
    config,
    tensors,
    ropeLayout: "interleaved",
    metadata: new Map(Object.entries(file.header)),
  };
}
