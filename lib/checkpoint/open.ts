/**
 * Opens a model in any format.
 *
 * @module
 */

import type { Checkpoint } from "./checkpoint.ts";
import { detectCheckpoint } from "./detect.ts";
import { openGguf } from "./open_gguf.ts";
import { openLlama2c } from "./open_llama2c.ts";
import { openMeta } from "./open_meta.ts";
import { openHuggingFace } from "./open_huggingface.ts";

export type { Checkpoint, CheckpointFormat } from "./checkpoint.ts";

/** How a checkpoint is opened. */
export interface OpenCheckpointOptions {
  /** A weight file of the folder, where not the usual one is meant: `model_bf16.safetensors`. */
  readonly file?: string;
}

/**
 * Opens a model: finds its format, reads its config and the headers of its weights, and checks each
 * tensor for presence, type and shape. No weight is read yet.
 *
 * @throws {ConfigError} Where the config is wrong or of another architecture.
 * @throws {FormatError} Where a file does not hold what its format promises, or a tensor is missing,
 * one too many or of a type that no weight has.
 * @throws {ShapeError} Where a tensor's shape is not the config's.
 */
export function openCheckpoint(
  path: string,
  options: OpenCheckpointOptions = {},
): Promise<Checkpoint> {
  const found = detectCheckpoint(path, options);
  switch (found.format) {
    case "hf":
      return openHuggingFace(found);
    case "gguf":
      return openGguf(found);
    case "meta":
      return openMeta(found);
    case "llama2c":
      return openLlama2c(found);
  }
}
