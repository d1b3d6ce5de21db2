/**
 * What a conversion is going to do, once it is known to be possible.
 *
 * @module
 */

import type { AtomicFileOptions } from "../base/atomic_file.ts";
import { tensorBytes } from "../formats/file_dtype.ts";
import type { TensorSource } from "../formats/tensor_file.ts";
import type { CheckpointFormat } from "./checkpoint.ts";
import type { Flow } from "./map.ts";
import type { TravellingTokenizer } from "./travelling_tokenizer.ts";

/** How a model is saved, whatever the format. */
export interface SaveOptions extends AtomicFileOptions {
  /** Where to: a folder for Hugging Face's and Meta's formats, a file for the others. */
  readonly path: string;
  /** Element type of each weight, by canonical name. */
  readonly types: ReadonlyMap<string, string>;
  /** The tokenizer that goes with it. */
  readonly tokenizer: TravellingTokenizer;
  /** What the work tells and listens to. */
  readonly flow: Flow;
}

/** A model ready to be written: all that can be refused has been. */
export interface SavePlan {
  /** Format that is written. */
  readonly format: CheckpointFormat;
  /** The weights, a slice each where they are cut. */
  readonly tensors: readonly TensorSource[];
  /** What a user should know: what the format does not say, or says in another way. */
  readonly notes: readonly string[];
  /** Writes it whole or not at all, and returns the files' paths. */
  write(): Promise<string[]>;
}

/** Bytes of all tensors of a plan. */
export function plannedBytes(plan: Pick<SavePlan, "tensors">): number {
  return plan.tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape)!, 0);
}
