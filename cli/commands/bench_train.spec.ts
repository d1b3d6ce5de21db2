/**
 * The record of `llamero bench train`.
 *
 * @module
 */

import type { CommandSpec } from "../command.ts";
import { integer } from "../option_values.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../options.ts";
import { RECIPE_OPTIONS, type RecipeFlags } from "./train_recipe.spec.ts";

/** What `llamero bench train` is called with. */
export interface BenchTrainOptions extends
  ComputeOptions,
  Pick<
    RecipeFlags,
    "seqLen" | "batchTokens" | "microBatch" | "optimizer" | "dtype" | "recompute"
  > {
  /** The model. */
  readonly preset: string;
  /** Rows of its embedding, where that is open. */
  readonly vocabSize: number | undefined;
  /** Steps that count. */
  readonly steps: number;
}

const { seqLen, batchTokens, microBatch, optimizer, dtype, recompute } = RECIPE_OPTIONS;

/** The record of `llamero bench train`. */
export const spec: CommandSpec<BenchTrainOptions> = {
  name: "bench train",
  group: "Measurement",
  summary: "tokens per second of training, as a share of what the machine can do",
  description:
    "Trains a model of random weights on random tokens: batch, forward, backward, clipping and " +
    "update. The arithmetic limit is measured in the same run. MFU is PaLM's: 6 N + 12 L H Q T " +
    "operations per token, recomputation not counted.",
  arguments: {},
  options: {
    preset: { value: "NAME", required: true, doc: "a model; llamero presets lists them" },
    vocabSize: {
      value: "N",
      parse: integer({ min: 4 }),
      defaultDoc: "the preset's",
      doc: "tokens of the vocabulary, for presets that take any",
    },
    seqLen,
    batchTokens: { ...batchTokens, defaultDoc: "a micro-batch" },
    microBatch,
    steps: {
      value: "N",
      parse: integer({ min: 1, max: 100_000 }),
      default: 5,
      doc: "steps that count, after two that do not",
    },
    optimizer,
    dtype,
    recompute,
    ...COMPUTE_OPTIONS,
  },
  examples: [
    {
      command: "llamero bench train --preset llama-15m --seq-len 256 --batch-tokens 2048",
      doc: "five steps of 2048 tokens",
    },
    {
      command: "llamero bench train --preset llama-110m --dtype bf16 --json",
      doc: "in bf16, for programs",
    },
  ],
  load: () => import("./bench_train.ts"),
};
