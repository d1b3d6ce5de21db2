/**
 * The options of a training recipe, which `llamero train` and `llamero bench train` share.
 *
 * @module
 */

import type { OptionSpecs } from "../command.ts";
import { integer, real, wordOr } from "../option_values.ts";

/** A number, or a formula of a paper. */
export type NumberOr<W extends string> = number | W;

/** The numbers of a recipe. */
export interface RecipeFlags {
  /** Optimizer steps. */
  readonly steps: number | undefined;
  /** Tokens of the run. */
  readonly tokens: number | undefined;
  /** Tokens of a sequence. */
  readonly seqLen: number | undefined;
  /** Tokens of a batch over all ranks; a multiple of the sequence's. */
  readonly batchTokens: number | undefined;
  /** Sequences at once. */
  readonly microBatch: number | undefined;
  /** Larger batches later. */
  readonly batchRamp: string | undefined;
  /** AdamW or Adafactor. */
  readonly optimizer: "adamw" | "adafactor" | undefined;
  /** Peak learning rate. */
  readonly lr: number | undefined;
  /** Last learning rate. */
  readonly minLr: number | undefined;
  /** Steps of the rise. */
  readonly warmup: number | undefined;
  /** Steps at the peak. */
  readonly hold: number | undefined;
  /** How the rate falls. */
  readonly schedule: "cosine" | "inverse-sqrt" | "linear" | "constant" | "wsd" | undefined;
  /** Steps of the fall of wsd. */
  readonly decay: number | undefined;
  /** Decay of the mean of gradients. */
  readonly beta1: number | undefined;
  /** Decay of the mean of squares. */
  readonly beta2: NumberOr<"1-k^-0.8"> | undefined;
  /** Added to the root of the mean of squares. */
  readonly eps: number | undefined;
  /** Share of a weight that a step takes off, times the rate; `lr^2` is PaLM's. */
  readonly weightDecay: NumberOr<"lr^2"> | undefined;
  /** Largest norm of the gradients. */
  readonly clip: number | undefined;
  /** Largest update of Adafactor. */
  readonly updateClip: number | undefined;
  /** Weight of log^2 Z. */
  readonly zLoss: number | undefined;
  /** Type of products. */
  readonly dtype: "f32" | "bf16" | undefined;
  /** What is computed again. */
  readonly recompute: "none" | "selective" | "full" | undefined;
  /** Share dropped. */
  readonly dropout: number | undefined;
  /** Whether documents see each other. */
  readonly documentMask: "on" | "off" | undefined;
  /** Batches left out. */
  readonly skipBatches: string | undefined;
}

const count = integer({ min: 1 });
const countOr0 = integer({ min: 0 });
const PRESETS = "the preset's";

/** Specs of {@linkcode RecipeFlags}. */
export const RECIPE_OPTIONS: OptionSpecs<RecipeFlags> = {
  steps: { group: "Length", value: "N", parse: count, doc: "optimizer steps of the run" },
  tokens: {
    group: "Length",
    value: "N",
    parse: (text) => Math.floor(real({ min: 1 })(text)),
    defaultDoc: PRESETS,
    doc: "tokens of the run, such as 300e6, instead of steps",
  },
  seqLen: {
    group: "Length",
    value: "N",
    parse: count,
    defaultDoc: PRESETS,
    doc: "tokens of a sequence",
  },
  batchTokens: {
    group: "Length",
    value: "N",
    parse: count,
    defaultDoc: PRESETS,
    doc: "tokens of a batch: a multiple of the sequence's",
  },
  microBatch: {
    group: "Length",
    value: "N",
    parse: count,
    defaultDoc: "about 4096 tokens",
    doc: "sequences computed at once; their gradients are added up",
  },
  batchRamp: {
    group: "Length",
    value: "STEP:TOKENS",
    defaultDoc: PRESETS,
    doc:
      "larger batches from later steps on, separated by commas; STEP:TOKENS:SEQ_LEN changes the sequence too",
  },
  optimizer: {
    group: "Recipe",
    value: "NAME",
    choices: ["adamw", "adafactor"],
    defaultDoc: PRESETS,
    doc: "AdamW, or PaLM's Adafactor",
  },
  lr: {
    group: "Recipe",
    value: "X",
    parse: real({ above: 0 }),
    defaultDoc: PRESETS,
    doc: "peak learning rate",
  },
  minLr: {
    group: "Recipe",
    value: "X",
    parse: real({ min: 0 }),
    defaultDoc: "the preset's share of --lr",
    doc: "learning rate that the schedule ends at",
  },
  warmup: {
    group: "Recipe",
    value: "N",
    parse: countOr0,
    defaultDoc: PRESETS,
    doc: "steps of the linear rise",
  },
  hold: {
    group: "Recipe",
    value: "N",
    parse: countOr0,
    defaultDoc: PRESETS,
    doc: "steps at the peak before the schedule sets in",
  },
  schedule: {
    group: "Recipe",
    value: "NAME",
    choices: ["cosine", "inverse-sqrt", "linear", "constant", "wsd"],
    defaultDoc: PRESETS,
    doc: "how the learning rate falls",
  },
  decay: {
    group: "Recipe",
    value: "N",
    parse: countOr0,
    defaultDoc: "a fifth of the steps",
    doc: "steps of the fall at the end of wsd",
  },
  beta1: {
    group: "Recipe",
    value: "X",
    parse: real({ min: 0, below: 1 }),
    defaultDoc: PRESETS,
    doc: "decay of the mean of gradients",
  },
  beta2: {
    group: "Recipe",
    value: "X",
    parse: wordOr("1-k^-0.8", real({ min: 0, below: 1 })),
    defaultDoc: PRESETS,
    doc: "decay of the mean of squares; 1-k^-0.8 is PaLM's",
  },
  eps: {
    group: "Recipe",
    value: "X",
    parse: real({ min: 0 }),
    defaultDoc: PRESETS,
    doc: "added to the root of the mean of squares",
  },
  weightDecay: {
    group: "Recipe",
    value: "X",
    parse: wordOr("lr^2", real({ min: 0 })),
    defaultDoc: PRESETS,
    doc: "share of a weight taken off per step, times lr; lr^2 is PaLM's",
  },
  clip: {
    group: "Recipe",
    value: "X",
    parse: real({ min: 0 }),
    defaultDoc: PRESETS,
    doc: "largest norm of the gradients; 0 is none",
  },
  updateClip: {
    group: "Recipe",
    value: "X",
    parse: real({ min: 0 }),
    defaultDoc: "1",
    doc: "largest root mean square of a tensor's update (Adafactor); 0 is none",
  },
  zLoss: {
    group: "Recipe",
    value: "X",
    parse: real({ min: 0 }),
    defaultDoc: "the model's",
    doc: "weight of log^2 Z in the loss",
  },
  dropout: {
    group: "Recipe",
    value: "P",
    parse: real({ min: 0, below: 1 }),
    defaultDoc: PRESETS,
    doc: "share of activations dropped",
  },
  documentMask: {
    group: "Recipe",
    value: "WORD",
    choices: ["on", "off"],
    defaultDoc: PRESETS,
    doc: "whether documents in one sequence do not see each other",
  },
  skipBatches: {
    group: "Recipe",
    value: "STEP:BATCHES",
    doc: "leave out so many batches of data before a step; several are separated by commas",
  },
  dtype: {
    group: "Computation",
    value: "TYPE",
    choices: ["f32", "bf16"],
    defaultDoc: "f32",
    doc: "type of products; sums and weights stay f32",
  },
  recompute: {
    group: "Computation",
    value: "WHAT",
    choices: ["none", "selective", "full"],
    defaultDoc: "none",
    doc: "activations that the backward pass computes again, to save memory",
  },
};
