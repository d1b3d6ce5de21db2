/**
 * What the blocks of a model that trains share, and what one batch brings to them.
 *
 * Shape suffixes: T rows of the batch, D hidden size, H query heads, K key and value heads, E head
 * dim, M = (H + 2K)E: queries, keys and values side by side, F feed-forward width. Where tensor ranks
 * share a model H, K and F are those of this rank, and a stream has this rank's rows of T alone.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import type { TrainingProducts } from "./linear.ts";
import type { RopeLayout } from "../rope.ts";
import type { PlacedBatch } from "./batch.ts";
import type { Dropout } from "./dropout.ts";
import { type BlockRecord, type RowCounts, rowStrides } from "./kept.ts";
import type { TrainedBlock } from "./parameters.ts";
import type { RowExchange } from "./row_exchange.ts";
import type { Recompute } from "./trainable.ts";

/** Buffers that one block after the other works in. */
export interface WorkingBuffers {
  /** Gradient of the residual stream. */
  readonly dhidden_TD: Address;
  /** What a half adds to the stream, where tensor ranks share it or some is dropped; its gradient. */
  readonly branch_TD: Address;
  /** Gradient of a norm's result. */
  readonly dnormed_TD: Address;
  /** Gradient of queries, keys and values; in a parallel block those of gate and up beside them. */
  readonly dqkv_TM: Address;
  /** Gradient of what the heads have gathered. */
  readonly dheads_THE: Address;
  /** Gradient of silu(gate) * up. */
  readonly dgated_TF: Address;
  /** All rows of a norm's result; the following ones too are there where tensor ranks share a model. */
  readonly gathered_TD: Address;
  /** All rows of the second norm's result, where they outlive those of the first. */
  readonly gatheredMiddle_TD: Address;
  /** All rows of the gradient of the stream. */
  readonly dgathered_TD: Address;
  /** This rank's share of sums over all ranks, all rows. */
  readonly partial_TD: Address;
  /** What one half of a parallel block adds, where some of it is dropped, all rows. */
  readonly masked_TD: Address;
  /** This rank's share of the gradients of two norms. */
  readonly normSums_2D: Address;
  /** This rank's share of the gradients of keys and values that several ranks have [2KE, D]. */
  readonly keyValueSums: Address;
  /** Tokens of the batch that this rank has, as rows of its part of the embedding. */
  readonly sharedIds_T: Address;
  /** Rows on their way in bf16, where products round them to it. */
  readonly halves_TD: Address;
  /** Those of the gradient of the stream, where GPUs are connected. */
  readonly gradientHalves_TD: Address;
}

/** What {@linkcode workingBytes} depends on besides the config. */
export interface WorkingOptions extends RowCounts {
  /** Whether anything is dropped. */
  readonly drops: boolean;
  /** What the backward pass computes again. */
  readonly recompute: Recompute;
  /** Whether products round to bf16. */
  readonly halved: boolean;
  /** How many ranks share the model. */
  readonly ranks: number;
  /** How many of them have the same key and value heads. */
  readonly copies: number;
  /** Whether their GPUs are connected. */
  readonly connected: boolean;
}

/** Bytes of {@linkcode WorkingBuffers}; `config` has the sizes of this rank. */
export function workingBytes(
  config: ModelConfig,
  options: WorkingOptions,
): Record<keyof WorkingBuffers, number> {
  const { hiddenSize: D, intermediateSize: F, headDim: E, parallelBlock } = config;
  const { numAttentionHeads: H, numKeyValueHeads: K } = config;
  const { rows, ownRows, drops, recompute, halved, ranks, copies, connected } = options;
  const shared = (bytes: number) => ranks > 1 ? bytes : 0;
  return {
    dhidden_TD: 4 * ownRows * D,
    branch_TD: drops || ranks > 1 ? 4 * ownRows * D : 0,
    dnormed_TD: 4 * ownRows * D,
    dqkv_TM: 4 * rows * rowStrides(config).qkvStride,
    dheads_THE: 4 * rows * H * E,
    dgated_TF: 4 * rows * F,
    gathered_TD: shared(4 * rows * D),
    gatheredMiddle_TD: shared(recompute === "full" && !parallelBlock ? 4 * rows * D : 0),
    dgathered_TD: shared(4 * rows * D),
    partial_TD: shared(4 * rows * D),
    masked_TD: shared(drops && parallelBlock ? 4 * rows * D : 0),
    normSums_2D: shared(4 * 2 * D),
    keyValueSums: copies > 1 ? 4 * 2 * K * E * D : 0,
    sharedIds_T: shared(4 * rows),
    halves_TD: shared(halved ? 2 * rows * D : 0),
    gradientHalves_TD: shared(halved && connected ? 2 * rows * D : 0),
  };
}

/** What the blocks share, whatever the batch. */
export interface BlocksSetup {
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Sizes of this rank, and constants. */
  readonly config: ModelConfig;
  /** Which coordinates of a head turn together. */
  readonly ropeLayout: RopeLayout;
  /** What the backward pass computes again. */
  readonly recompute: Recompute;
  /** Products with weights. */
  readonly products: TrainingProducts;
  /** Weights of the blocks in order. */
  readonly blocks: readonly TrainedBlock[];
  /** The record of every block. */
  readonly records: readonly BlockRecord[];
  /** The residual stream after the last block [T, D]. */
  readonly output_TD: Address;
  /** Where gradients go. */
  readonly working: WorkingBuffers;
  /** How rows go between tensor ranks; absent where the model is whole. */
  readonly exchange: RowExchange | undefined;
}

/** One batch on its way through the blocks. */
export interface BlocksRun extends BlocksSetup {
  /** The rows. */
  readonly batch: PlacedBatch;
  /** What is dropped; nothing without it. */
  readonly dropout: Dropout | undefined;
  /** Whether gradients of matrices are added to what is there; those of norms always are. */
  readonly accumulate: boolean;
}
