/**
 * What a block keeps for its backward pass, and what that pass computes again.
 *
 * Shape suffixes: T rows of the batch, D hidden size, H query heads, K key and value heads, E head
 * dim, M = (H + 2K)E, F feed-forward width. All of it is f32.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import type { Recompute } from "./trainable.ts";

/** Everything that the backward pass of one block reads. */
export interface BlockRecord {
  /** The residual stream before the block. */
  readonly input_TD: Address;
  /** The norm of the input. */
  readonly normed_TD: Address;
  /** Queries and keys, turned, and values; in a parallel block gate and up beside them [T, M + 2F]. */
  readonly qkv_TM: Address;
  /** What the heads have gathered. */
  readonly heads_THE: Address;
  /** Log of the sum of every softmax. */
  readonly logZ_TH: Address;
  /** The residual stream between attention and feed-forward layer; absent in a parallel block. */
  readonly middle_TD: Address;
  /** The norm of the middle; absent in a parallel block. */
  readonly middleNormed_TD: Address;
  /** Gate and up; in a parallel block columns of what `qkv_TM` begins. */
  readonly gateUp_T2F: Address;
  /** silu(gate) * up. */
  readonly gated_TF: Address;
}

/** Name of a buffer in the record. */
export type RecordName = keyof BlockRecord;

/** All of the record, in the order of the forward pass. */
export const RECORD_NAMES: readonly RecordName[] = [
  "input_TD",
  "normed_TD",
  "qkv_TM",
  "heads_THE",
  "logZ_TH",
  "middle_TD",
  "middleNormed_TD",
  "gateUp_T2F",
  "gated_TF",
];

/**
 * What is kept of every block; the rest lies in one place that all blocks share and is computed again.
 * `selective` keeps the outputs of the expensive layers - products (with the residual added) and
 * attention - and computes norms and activations again (Touvron et al. 2023, section 2.4).
 */
const KEPT: Readonly<Record<Recompute, readonly RecordName[]>> = {
  none: RECORD_NAMES,
  selective: ["input_TD", "qkv_TM", "heads_THE", "logZ_TH", "middle_TD", "gateUp_T2F"],
  full: ["input_TD"],
};

/** Elements from one row to the next of what the first products of a block make. */
export function rowStrides(
  config: ModelConfig,
): { readonly qkvStride: number; readonly gateUpStride: number } {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E, intermediateSize: F } = config;
  const M = (H + 2 * K) * E;
  if (!config.parallelBlock) return { qkvStride: M, gateUpStride: 2 * F };
  return { qkvStride: M + 2 * F, gateUpStride: M + 2 * F };
}

/** Where gate and up begin in what a parallel block's first product makes, in bytes. */
export function gateUpAt(config: ModelConfig): number {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = config;
  return 4 * (H + 2 * K) * E;
}

/** Rows of a batch, and those of its residual stream that are here. */
export interface RowCounts {
  /** All rows. */
  readonly rows: number;
  /** Rows of the stream here: fewer where tensor ranks share it. */
  readonly ownRows: number;
}

/**
 * Bytes of the whole record for T rows; streams and norms have own rows alone where tensor ranks share
 * them.
 */
export function recordBytes(
  config: ModelConfig,
  { rows, ownRows }: RowCounts,
): Record<RecordName, number> {
  const { hiddenSize: D, intermediateSize: F, headDim: E, parallelBlock } = config;
  const { numAttentionHeads: H } = config;
  const serial = parallelBlock ? 0 : 4 * ownRows * D;
  const { qkvStride, gateUpStride } = rowStrides(config);
  return {
    input_TD: 4 * ownRows * D,
    normed_TD: 4 * ownRows * D,
    qkv_TM: 4 * rows * qkvStride,
    heads_THE: 4 * rows * H * E,
    logZ_TH: 4 * rows * H,
    middle_TD: serial,
    middleNormed_TD: serial,
    gateUp_T2F: parallelBlock ? 0 : 4 * rows * gateUpStride,
    gated_TF: 4 * rows * F,
  };
}

/** Bytes of the part of the record that every block keeps for itself, and of the part they share. */
export function splitRecord(
  bytes: Readonly<Record<RecordName, number>>,
  recompute: Recompute,
): {
  readonly kept: Partial<Record<RecordName, number>>;
  readonly shared: Partial<Record<RecordName, number>>;
} {
  const kept: Partial<Record<RecordName, number>> = {};
  const shared: Partial<Record<RecordName, number>> = {};
  for (const [name, size] of Object.entries(bytes) as [RecordName, number][]) {
    (KEPT[recompute].includes(name) ? kept : shared)[name] = size;
  }
  return { kept, shared };
}
