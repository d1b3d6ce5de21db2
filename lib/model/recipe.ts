/**
 * What a training recipe is: the numbers that the papers give besides the model's sizes.
 *
 * @module
 */

/** How the learning rate runs after its linear rise and its time at the peak. */
export type ScheduleName = "cosine" | "inverse-sqrt" | "linear" | "constant" | "wsd";

/** From `fromStep` on, a batch has this many tokens in sequences of this length. */
export interface BatchStage {
  /** First step (from 0) that the stage holds for. */
  readonly fromStep: number;
  /** Tokens of a batch from then on. */
  readonly batchTokens: number;
  /** Tokens of a sequence, where it changes too. */
  readonly seqLen?: number;
}

/** A training recipe; names are those of the command line's options. */
export interface Recipe {
  /** AdamW, or Adafactor without factorization but with parameter scaling (PaLM). */
  readonly optimizer: "adamw" | "adafactor";
  /** Peak learning rate. */
  readonly lr: number;
  /** Learning rate that the schedule ends at. */
  readonly minLr: number;
  /** Steps of the linear rise from 0. */
  readonly warmup: number;
  /** Steps at the peak before the schedule sets in: 10,000 in PaLM. */
  readonly hold: number;
  /** `inverse-sqrt` is `lr * sqrt(hold / k)` at step k > hold. */
  readonly schedule: ScheduleName;
  /** Decay of the mean of gradients. */
  readonly beta1: number;
  /** Decay of the mean of squares; `"1-k^-0.8"` depends on the step k (PaLM). */
  readonly beta2: number | "1-k^-0.8";
  /** Added to the root of the mean of squares (AdamW), or to the square (Adafactor). */
  readonly eps: number;
  /** Share of a decayed weight taken off per step, times lr; `"lr^2"` is PaLM's (without lr). */
  readonly weightDecay: number | "lr^2";
  /** Largest norm of the gradient over all weights; 0 is none. */
  readonly clip: number;
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Tokens of a batch, at first. */
  readonly batchTokens: number;
  /** How the batch grows. */
  readonly batchRamp: readonly BatchStage[];
  /** Tokens of the whole run. */
  readonly tokens: number;
  /** Share of activations dropped. */
  readonly dropout: number;
  /** Whether documents in one sequence do not see each other (Llama 3, section 3.2). */
  readonly documentMask: boolean;
  /** Fields that no paper gives; what stands there is a guess from the nearest relative. */
  readonly unpublished: readonly Exclude<keyof Recipe, "unpublished">[];
}
