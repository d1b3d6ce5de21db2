/**
 * The two halves of a decoder block, over kernels.
 *
 * Shape suffixes, here and in what these functions are given:
 * T rows of the batch, D hidden size, H query heads, K key and value heads, E head dim,
 * M = (H + 2K)E: queries, keys and values side by side, F feed-forward width.
 * All activations are f32 with their rows side by side.
 *
 * Kernels are called over addresses that were planned with the config: checking the same shapes again
 * in every layer of every token would take longer than a small model's arithmetic.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { Batch } from "./batch.ts";
import type { ModelConfig } from "./config.ts";
import type { BlockWeights } from "./decoder_weights.ts";
import type { KvCache } from "./kv_cache.ts";
import { activationBytes, type Products } from "./linear.ts";
import { ROPE_LAYOUT_CODES, type RopeLayout } from "./rope.ts";

/** Buffers that every block uses in turn. */
export interface BlockBuffers {
  /** The residual stream. */
  readonly hidden_TD: Address;
  /** The residual stream after a norm. */
  readonly normed_TD: Address;
  /** Queries, keys and values. */
  readonly qkv_TM: Address;
  /** What the heads have gathered. */
  readonly heads_THE: Address;
  /** Gate and up. */
  readonly gateUp_T2F: Address;
  /** silu(gate) * up. */
  readonly gated_TF: Address;
}

/** Bytes of {@linkcode BlockBuffers}, and of the scratch for quantized activations, for T rows. */
export function blockBufferBytes(
  config: ModelConfig,
  rows: number,
): Record<keyof BlockBuffers | "quantized", number> {
  const { hiddenSize: D, intermediateSize: F, headDim: E } = config;
  const { numAttentionHeads: H, numKeyValueHeads: K } = config;
  return {
    hidden_TD: 4 * rows * D,
    normed_TD: 4 * rows * D,
    qkv_TM: 4 * rows * (H + 2 * K) * E,
    heads_THE: 4 * rows * H * E,
    gateUp_T2F: 4 * rows * 2 * F,
    gated_TF: 4 * rows * F,
    quantized: activationBytes(rows, Math.max(D, H * E, F)),
  };
}

/** What the blocks of one forward pass share. */
export interface BlockRun {
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Weights of the blocks in order. */
  readonly blocks: readonly BlockWeights[];
  /** Which coordinates of a head turn together. */
  readonly ropeLayout: RopeLayout;
  /** Products with weights. */
  readonly products: Products;
  /** Where activations go. */
  readonly buffers: BlockBuffers;
  /** Keys and values of earlier and of these rows. */
  readonly cache: KvCache;
  /** The rows. */
  readonly batch: Batch;
}

/** What {@linkcode normalize} reads and writes. */
export interface NormArguments {
  /** Result [rows, D]. */
  readonly out: Address;
  /** Input [rows, D]. */
  readonly x: Address;
  /** Scale [D]. */
  readonly weight: Address;
  /** Rows of both. */
  readonly rows: number;
}

/** RMSNorm, or LayerNorm with a scale alone, as the config has it. */
export function normalize(
  run: Pick<BlockRun, "backend" | "config">,
  { out, x, weight, rows }: NormArguments,
): void {
  const { hiddenSize: dim, norm, normEps: eps } = run.config;
  const { kernels } = run.backend;
  if (norm === "rms") kernels.rms_norm({ out, x, weight, rows, dim, eps });
  else kernels.layer_norm({ out, x, weight, bias: 0, rows, dim, eps });
}

/** Block `layer`, in place: one half after the other, or both from one norm (PaLM). */
export function runBlock(run: BlockRun, layer: number): void {
  const weights = run.blocks[layer]!;
  const { buffers: { hidden_TD, normed_TD }, batch: { rows }, config } = run;
  normalize(run, { out: normed_TD, x: hidden_TD, weight: weights.attentionNorm, rows });
  attend(run, layer);
  if (!config.parallelBlock) {
    normalize(run, { out: normed_TD, x: hidden_TD, weight: weights.feedForwardNorm, rows });
  }
  feedForward(run, layer);
}

/** hidden_TD += Wo attention(rope(Wq normed), rope(Wk normed), Wv normed). */
function attend(run: BlockRun, layer: number): void {
  const weights = run.blocks[layer]!;
  const { backend: { kernels }, config, batch, cache, products } = run;
  const { hidden_TD, normed_TD, qkv_TM, heads_THE } = run.buffers;
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = config;
  const { rows } = batch;
  const M = (H + 2 * K) * E;
  const k_TKE = qkv_TM + 4 * H * E;
  const v_TKE = k_TKE + 4 * K * E;
  products.multiply(weights.qkv, { out: qkv_TM, x: normed_TD, rows });
  // Keys follow the queries, so that one call turns both.
  kernels.rope({
    x: qkv_TM,
    table: batch.rope,
    rows,
    heads: H + K,
    head_dim: E,
    stride: M,
    layout: ROPE_LAYOUT_CODES[run.ropeLayout],
  });
  const pages = {
    cache_dtype: cache.dtypeCode,
    rows,
    kv_heads: K,
    head_dim: E,
    pages: cache.pages.pageCount,
    page_size: cache.pages.pageSize,
  };
  const keys = cache.keys(layer);
  const values = cache.values(layer);
  kernels.kv_store({ ...pages, cache: keys, x: k_TKE, slots: batch.slots_T, stride: M });
  kernels.kv_store({ ...pages, cache: values, x: v_TKE, slots: batch.slots_T, stride: M });
  kernels.attention({
    ...pages,
    out: heads_THE,
    q: qkv_TM,
    keys,
    values,
    page_table: batch.pageTable,
    row_sequence: batch.rowSequence_T,
    row_position: batch.rowPosition_T,
    heads: H,
    sequences: batch.sequences,
    max_pages: batch.maxPages,
    q_stride: M,
    out_stride: H * E,
    scale: 1 / Math.sqrt(E),
  });
  products.multiply(weights.attentionOutput, {
    out: hidden_TD,
    x: heads_THE,
    rows,
    accumulate: true,
  });
}

/** hidden_TD += Wdown (silu(Wgate normed) * Wup normed). */
function feedForward(run: BlockRun, layer: number): void {
  const weights = run.blocks[layer]!;
  const { backend: { kernels }, config: { intermediateSize: F }, batch: { rows }, products } = run;
  const { hidden_TD, normed_TD, gateUp_T2F, gated_TF } = run.buffers;
  products.multiply(weights.gateUp, { out: gateUp_T2F, x: normed_TD, rows });
  kernels.swiglu({
    out: gated_TF,
    gate: gateUp_T2F,
    up: gateUp_T2F + 4 * F,
    rows,
    dim: F,
    gate_stride: 2 * F,
    up_stride: 2 * F,
  });
  products.multiply(weights.down, { out: hidden_TD, x: gated_TF, rows, accumulate: true });
}
