/**
 * What a model that trains gives to whoever trains it: its parameters, and the losses of a batch with
 * their gradients.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { WeightSpec } from "../weights.ts";
import type { ModelParts, PlannedParts, WeightSlice } from "./parts.ts";

/** Element types that a model trains in: bf16 has f32 masters, gradients and sums. */
export type TrainingDType = "f32" | "bf16";

/**
 * What the backward pass computes again instead of keeping it: nothing; all but the outputs of
 * expensive layers (products and attention), as LLaMA (arXiv:2302.13971, section 2.4); or all but the
 * input of every block. Gradients are the same to the bit.
 */
export type Recompute = "none" | "selective" | "full";

/** One trained tensor, or this rank's slice of it, in the memory of its backend. */
export interface Parameter {
  /** Its row of the name table, filled in, with the shape of the whole tensor. */
  readonly spec: WeightSpec;
  /** What of the whole tensor is here; absent for all of it. */
  readonly slice?: WeightSlice | undefined;
  /**
   * Which of several equal copies over tensor ranks and stages it is: copy 0 is the one that is counted
   * in norms and written to checkpoints. The gradients of all copies are the same.
   */
  readonly copy: number;
  /** Elements that are here. */
  readonly count: number;
  /** Master copy (f32). */
  readonly weight: Address;
  /** Gradient (f32). */
  readonly grad: Address;
  /** Copy that products read (bf16), 0 where they read the master: an optimizer writes both. */
  readonly compute: Address;
}

/** How a trained model's memory is planned. */
export interface TrainingOptions {
  /** Most rows (tokens) of one batch. */
  readonly maxRows: number;
  /** What products are computed in. @default {"f32"} */
  readonly dtype?: TrainingDType | undefined;
  /** What the backward pass computes again. @default {"none"} */
  readonly recompute?: Recompute | undefined;
  /** Share of activations that is dropped after the embedding and after each half of a block. @default {0} */
  readonly dropout?: number | undefined;
  /** Whether products keep weights packed until they change: pays where batches are accumulated. @default {false} */
  readonly packWeights?: boolean | undefined;
  /** What of the model this rank has, and whom it computes with. @default {all of it} */
  readonly parts?: ModelParts | undefined;
  /** What is there of one unit of a pass at a time, brought and taken by an observer. @default {nothing} */
  readonly streamed?: Streamed | undefined;
  /** How much is on its way at once. @default {one batch} */
  readonly inFlight?: InFlight | undefined;
}

/** What a rank has of one unit of a pass at a time, instead of all of it. */
export interface Streamed {
  /** Masters and their copies: there from when a unit is entered until the next is. */
  readonly weights: boolean;
  /** Gradients: there until the next unit is entered; nothing is accumulated over batches. */
  readonly gradients: boolean;
}

/** The most that has gone forward on one rank and not yet backward. */
export interface InFlight {
  /** Layers, each counted once for every batch that is in it. */
  readonly layers: number;
  /** Batches whose last hidden states wait for the head. */
  readonly heads: number;
  /** Batches that are in any of the rank's stages. */
  readonly batches: number;
}

/** What memory is planned by: for a rank of any mesh, before there are any. */
export interface PlanOptions extends Omit<TrainingOptions, "parts"> {
  /** What of the model the rank has. @default {all of it} */
  readonly parts?: PlannedParts | undefined;
}

/** Sequences packed or padded to one length; all arrays are [sequences * length], row by row. */
export interface TrainBatch {
  /** Sequences B. */
  readonly sequences: number;
  /** Tokens of each, T. */
  readonly length: number;
  /** Token ids. */
  readonly tokens: Int32Array<ArrayBuffer>;
  /** The token that should follow each one; a negative one is not counted. */
  readonly targets: Int32Array<ArrayBuffer>;
  /** Weight of each target in the loss; 1 without it. */
  readonly weights?: Float32Array<ArrayBuffer> | undefined;
  /** First row (of the whole batch) that each row sees: where its document or sequence begins. */
  readonly starts: Int32Array<ArrayBuffer>;
  /** Rotary positions. */
  readonly positions: Int32Array<ArrayBuffer>;
}

/** Sums over the targets of a batch that count, in double precision and in the order of the rows. */
export interface LossSums {
  /** Sum of weight * -log p(target). */
  readonly ce: number;
  /** Sum of weight * zLoss * log^2 Z. */
  readonly z: number;
  /** Sum of the weights: what the mean loss divides by. */
  readonly weight: number;
  /** Targets that count. */
  readonly count: number;
}

/** Where in the run a batch stands: decides what is dropped, so that it can be replayed. */
export interface DropoutState {
  /** Seed of the run. */
  readonly seed: number;
  /** Step of the run. */
  readonly step: number;
  /** Rows of the batches that were accumulated before this one in this step. @default {0} */
  readonly firstRow?: number | undefined;
}

/** How gradients are computed. */
export interface GradientOptions {
  /** Factor of all weights of the loss: 1 / (sum of the weights of the step) for the mean loss. */
  readonly weightScale: number;
  /** Whether gradients are added to what is there, or replace it. @default {true} */
  readonly accumulate?: boolean | undefined;
  /** What is dropped; nothing without it. */
  readonly dropout?: DropoutState | undefined;
  /** Weight of log^2 Z; the config's without it. */
  readonly zLoss?: number | undefined;
}

/** Log-probabilities of the targets of a batch, row by row. */
export interface TargetScores {
  /** log p(target), 0 where the target is negative [T]. */
  readonly logProb: Float32Array<ArrayBuffer>;
  /** log sum exp of the logits [T]. */
  readonly logZ: Float32Array<ArrayBuffer>;
}

/** How a loss that is a weighted sum over targets goes backward. */
export interface WeightedBackwardOptions {
  /** Weight of each target: the gradient of the loss by -log p(target_t), of either sign [T]. */
  readonly weights: Float32Array<ArrayBuffer>;
  /** What the logits are divided by. @default {1} */
  readonly temperature?: number | undefined;
  /** Weight of log^2 Z, times the weight of the target; the config's without it. */
  readonly zLoss?: number | undefined;
  /** Whether gradients are added to what is there, or replace it. @default {true} */
  readonly accumulate?: boolean | undefined;
}

/** A model on a backend whose weights train. */
export interface Trainable {
  /** All parameters in the order of the name table. */
  readonly parameters: readonly Parameter[];
  /**
   * Computes the losses of a batch and the gradients of
   * sum_t weightScale weight_t (ce_t + zLoss log^2 Z_t).
   *
   * @throws {RangeError} When there are more rows than were planned, or a token id is none.
   */
  forwardBackward(batch: TrainBatch, options: GradientOptions): LossSums;
  /** Computes the losses of a batch alone, without dropout. @throws {RangeError} As above. */
  evaluate(batch: TrainBatch, options?: { readonly zLoss?: number | undefined }): LossSums;
  /** Tells that masters alone were written: makes all copies anew. */
  weightsChanged(): void;
  /** Tells that an optimizer has written masters and bf16 copies. */
  weightsStepped(): void;
  /** Reads a weight's master [count]. */
  weight(parameter: Parameter): Float32Array<ArrayBuffer>;
  /** Reads a weight's gradient [count]. */
  gradient(parameter: Parameter): Float32Array<ArrayBuffer>;
  /** Writes a weight's master, and its copies. */
  setWeight(parameter: Parameter, values: Float32Array<ArrayBuffer>): void;
  /** Gives the memory back; does nothing the second time. */
  close(): void;
}

/** Bytes of training by kind, known before anything is allocated. */
export interface TrainingBytes {
  /** Masters, 4 per parameter. */
  readonly weights: number;
  /** Gradients, 4 per parameter. */
  readonly gradients: number;
  /** First and second moments of the optimizer, 8 per parameter. */
  readonly moments: number;
  /** bf16 copies of matrices, 2 per element. */
  readonly compute: number;
  /** Packed copies of matrices. */
  readonly packed: number;
  /** What the forward pass keeps for the backward. */
  readonly kept: number;
  /** What one block at a time works in. */
  readonly working: number;
  /** Chunks of logits and what goes with them. */
  readonly head: number;
  /** Rows on their way between tensor ranks, outside the backend; 0 where the model is whole. */
  readonly exchange: number;
  /** All of them. */
  readonly total: number;
}
