/**
 * What an open checkpoint is, whatever format it came in.
 *
 * @module
 */

import type { TensorRecord } from "../formats/tensor_file.ts";
import type { ModelConfig } from "../model/config.ts";
import type { RopeLayout } from "../model/rope.ts";

/** The formats of whole models. */
export type CheckpointFormat = "hf" | "gguf" | "meta" | "llama2c";

/** An open checkpoint: its tensors are checked against its config, their bytes not yet read. */
export interface Checkpoint {
  /** Which format it is. */
  readonly format: CheckpointFormat;
  /** The path as the user named it. */
  readonly path: string;
  /** The files that hold the weights. */
  readonly files: readonly string[];
  /** The model. */
  readonly config: ModelConfig;
  /** One record for each of `weightSpecs(config)`, by canonical name and in that order. */
  readonly tensors: ReadonlyMap<string, TensorRecord>;
  /** How rows of `attention.q` and `attention.k` are ordered. */
  readonly ropeLayout: RopeLayout;
  /** What `openTokenizer` opens for this model, where its files include one. */
  readonly tokenizerPath?: string;
  /** What the weight files say of themselves besides tensors. */
  readonly metadata: ReadonlyMap<string, unknown>;
}
