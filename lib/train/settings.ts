/**
 * Every setting of a training run once: its name, what it is, and whether it may change when the run is
 * resumed. What values it takes stands in `setting_checks.ts`.
 *
 * A setting is `batchTokens` here, `--batch-tokens` on the command line and `batch-tokens` in a file.
 *
 * @module
 */

import type { Skip } from "../data/order.ts";
import type { Recipe } from "../model/recipe.ts";
import type { PipelineScheduleName } from "../parallel/pipeline_schedule.ts";

/** A source of training data, as it is asked for. */
export interface DataSetting {
  /** Prefix of the indexed dataset. */
  readonly path: string;
  /** Its share, in any unit. */
  readonly weight?: number | undefined;
  /** How often it may be seen at most. */
  readonly epochs?: number | undefined;
}

/** All settings of a run besides the model's sizes. */
export interface TrainSettings extends Omit<Recipe, "tokens" | "unpublished"> {
  /** Optimizer steps of the whole run. */
  readonly steps: number;
  /** Sequences that are computed at once. */
  readonly microBatch: number;
  /** Steps of the fall at the end of `wsd`. */
  readonly decay: number;
  /** Largest root mean square of a tensor's update (Adafactor); 0 is none. */
  readonly updateClip: number;
  /** Weight of log^2 Z in the loss. */
  readonly zLoss: number;
  /** Type of weights and activations in products. */
  readonly dtype: "f32" | "bf16";
  /** Which activations are computed again in the backward pass. */
  readonly recompute: "none" | "selective" | "full";
  /** Batches that are left out. */
  readonly skipBatches: readonly Skip[];
  /** Goes back and skips data when the loss jumps. */
  readonly skipSpikes: boolean;
  /** Seed of everything random. */
  readonly seed: number;
  /** The kernels. */
  readonly backend: "auto" | "wasm" | "native" | "cuda";
  /** Size of the thread pool. */
  readonly threads: number | "auto";
  /** Steps between checkpoints. */
  readonly saveEvery: number;
  /** Checkpoints that are kept. */
  readonly keep: number;
  /** Steps between lines of the log. */
  readonly logEvery: number;
  /** Steps between evaluations. */
  readonly evalEvery: number;
  /** Sequences of an evaluation at most. */
  readonly evalSequences: number;
  /** Steps between samples. */
  readonly sampleEvery: number;
  /** Tokens that a sample of text goes on for. */
  readonly sampleTokens: number;
  /** What samples continue. */
  readonly samplePrompt: string;
  /** How often a run that failed is started again from its last checkpoint. */
  readonly restarts: number;
  /** The axes of the mesh, such as `data=2,tensor=2`; `"auto"` makes every rank a replica. */
  readonly mesh: string;
  /** What the shard axis shares: optimizer state, and gradients, and weights. */
  readonly zero: 1 | 2 | 3;
  /** The order of forward and backward passes in a pipeline. */
  readonly pipelineSchedule: PipelineScheduleName;
  /** Stages of each rank of an interleaved pipeline. */
  readonly stagesPerRank: number;
  /** Gradients of micro-batches are added up rank by rank, or in one tree over all of them. */
  readonly reduce: "ranks" | "tree";
  /** Ranks in this process, a worker each. */
  readonly virtualRanks: number;
  /** Steps between comparisons of the replicas' weights; 0 is never. */
  readonly checkReplicas: number;
  /** Path of the tokenizer, as it was named. */
  readonly tokenizer: string;
  /** The training data. */
  readonly data: readonly DataSetting[];
  /** Datasets or texts to evaluate on. */
  readonly evalData: readonly string[];
  /** Model that the weights begin as; random without it. */
  readonly init?: string | undefined;
}

/** Key of a setting; in files and flags it is written in kebab case. */
export type SettingName = keyof TrainSettings;

/**
 * What may change when a run is resumed: how long it runs, what it saves and says, the threads, and
 * the mesh.
 */
export const RESUMABLE: ReadonlySet<SettingName> = new Set<SettingName>([
  "steps",
  "threads",
  "saveEvery",
  "keep",
  "logEvery",
  "evalEvery",
  "evalSequences",
  "sampleEvery",
  "sampleTokens",
  "samplePrompt",
  "restarts",
  "mesh",
  "zero",
  "pipelineSchedule",
  "stagesPerRank",
  "virtualRanks",
  "checkReplicas",
]);

/** `batchTokens` as files write it: `batch-tokens`. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `batch-tokens`, or `batch_tokens` as other programs write it, as the setting's name. */
export function camelCase(name: string): string {
  return name.replace(/[-_]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
