/**
 * A decoder block that trains: forward and backward side by side, written by hand over kernels.
 *
 * Shape suffixes: T rows of the batch, D hidden size, H query heads, K key and value heads, E head
 * dim, M = (H + 2K)E: queries, keys and values side by side, F feed-forward width. In a parallel block
 * gate and up stand beside queries, keys and values: one product makes all of them.
 * A gradient is called by the name of what it is the gradient of, with a d before it.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import { normalize } from "../blocks.ts";
import type { ModelConfig } from "../config.ts";
import type { TrainedWeight, TrainingProducts } from "../linear.ts";
import { ROPE_LAYOUT_CODES, type RopeLayout } from "../rope.ts";
import type { PlacedBatch } from "./batch.ts";
import type { Dropout, DropoutSite } from "./dropout.ts";
import { type BlockRecord, gateUpAt, rowStrides } from "./kept.ts";
import type { TrainedBlock, TrainedNorm } from "./parameters.ts";
import type { Recompute } from "./trainable.ts";

/** Buffers that one block after the other works in. */
export interface WorkingBuffers {
  /** Gradient of the residual stream. */
  readonly dhidden_TD: Address;
  /** What a half adds to the stream, or its gradient, where some of it is dropped. */
  readonly branch_TD: Address;
  /** Gradient of a norm's result. */
  readonly dnormed_TD: Address;
  /** Gradient of queries, keys and values; in a parallel block those of gate and up beside them. */
  readonly dqkv_TM: Address;
  /** Gradient of what the heads have gathered. */
  readonly dheads_THE: Address;
  /** Gradient of silu(gate) * up. */
  readonly dgated_TF: Address;
}

/** Bytes of {@linkcode WorkingBuffers} for T rows. */
export function workingBytes(
  config: ModelConfig,
  options: { readonly rows: number; readonly drops: boolean },
): Record<keyof WorkingBuffers, number> {
  const { hiddenSize: D, intermediateSize: F, headDim: E } = config;
  const { numAttentionHeads: H } = config;
  const { rows, drops } = options;
  return {
    dhidden_TD: 4 * rows * D,
    branch_TD: drops ? 4 * rows * D : 0,
    dnormed_TD: 4 * rows * D,
    dqkv_TM: 4 * rows * rowStrides(config).qkvStride,
    dheads_THE: 4 * rows * H * E,
    dgated_TF: 4 * rows * F,
  };
}

/** What the blocks share, whatever the batch. */
export interface BlocksSetup {
  /** Whose kernels run. */
  readonly backend: Backend;
  /** Sizes and constants. */
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

/**
 * Serial: middle = input + attend(norm(input)), output = middle + feedForward(norm(middle)).
 * Parallel (PaLM): output = input + attend(norm(input)) + feedForward(norm(input)).
 */
export function forwardBlock(run: BlocksRun, layer: number): void {
  const { records, blocks, config: { parallelBlock }, output_TD } = run;
  const { input_TD, middle_TD, heads_THE, gated_TF } = records[layer]!;
  const { attentionOutput, down } = blocks[layer]!;
  const output = records[layer + 1]?.input_TD ?? output_TD;
  attend(run, layer);
  addHalf(run, { at: "attention", layer }, {
    out: parallelBlock ? output : middle_TD,
    stream: input_TD,
    weight: attentionOutput,
    x: heads_THE,
  });
  feedForward(run, layer);
  addHalf(run, { at: "feedForward", layer }, {
    out: output,
    stream: parallelBlock ? output : middle_TD,
    weight: down,
    x: gated_TF,
  });
}

/** Gradients of a block's weights, and dhidden: from that of its output to that of its input. */
export function backwardBlock(run: BlocksRun, layer: number): void {
  restore(run, layer);
  const { middle_TD, input_TD } = run.records[layer]!;
  const { attentionNorm, feedForwardNorm } = run.blocks[layer]!;
  backwardFeedForward(run, layer);
  if (!run.config.parallelBlock) backwardNorm(run, feedForwardNorm, middle_TD);
  backwardAttend(run, layer);
  backwardNorm(run, attentionNorm, input_TD);
}

/** Computes again what was not kept of a block. */
function restore(run: BlocksRun, layer: number): void {
  const { recompute, records, blocks, config: { parallelBlock }, batch: { rows } } = run;
  if (recompute === "none") return;
  const { input_TD, normed_TD, middle_TD, middleNormed_TD, heads_THE } = records[layer]!;
  const { attentionNorm, feedForwardNorm, attentionOutput } = blocks[layer]!;
  if (recompute === "selective") {
    normalize(run, { out: normed_TD, x: input_TD, weight: attentionNorm.weight, rows });
    if (parallelBlock) return;
    normalize(run, { out: middleNormed_TD, x: middle_TD, weight: feedForwardNorm.weight, rows });
    return;
  }
  attend(run, layer);
  if (!parallelBlock) {
    addHalf(run, { at: "attention", layer }, {
      out: middle_TD,
      stream: input_TD,
      weight: attentionOutput,
      x: heads_THE,
    });
  }
  feedForward(run, layer);
}

/** What a half of a block adds to the residual stream. */
interface HalfArguments {
  /** The stream with it [T, D]; may be `stream`. */
  readonly out: Address;
  /** The stream without it [T, D]. */
  readonly stream: Address;
  /** Last weight of the half. */
  readonly weight: TrainedWeight;
  /** What it multiplies. */
  readonly x: Address;
}

/** out = stream + dropout(x W^T). */
function addHalf(run: BlocksRun, site: DropoutSite, half: HalfArguments): void {
  const { backend, products, dropout, working: { branch_TD }, batch: { rows } } = run;
  const { out, stream, weight, x } = half;
  const count = rows * run.config.hiddenSize;
  if (out !== stream) backend.copy(out, stream, 4 * count);
  if (dropout === undefined) {
    products.forward(weight, { out, x, rows, accumulate: true });
    return;
  }
  products.forward(weight, { out: branch_TD, x, rows });
  dropout.apply(site, { x: branch_TD, rows });
  backend.kernels.add({ out, x: branch_TD, count });
}

/** Gradient of what a half has added: that of the stream, less what was dropped. */
function branchGradient(run: BlocksRun, site: DropoutSite): Address {
  const { backend, dropout, working: { dhidden_TD, branch_TD }, batch: { rows } } = run;
  if (dropout === undefined) return dhidden_TD;
  backend.copy(branch_TD, dhidden_TD, 4 * rows * run.config.hiddenSize);
  dropout.apply(site, { x: branch_TD, rows });
  return branch_TD;
}

/** heads = attention(rope(Wq n), rope(Wk n), Wv n), n = norm(input). */
function attend(run: BlocksRun, layer: number): void {
  const { input_TD, normed_TD, qkv_TM, heads_THE, logZ_TH } = run.records[layer]!;
  const { attentionNorm, qkv } = run.blocks[layer]!;
  const { batch, products } = run;
  const { rows } = batch;
  normalize(run, { out: normed_TD, x: input_TD, weight: attentionNorm.weight, rows });
  products.forward(qkv, { out: qkv_TM, x: normed_TD, rows });
  turn(run, qkv_TM, batch.rope);
  const shape = attentionShape(run);
  run.backend.kernels.attention_forward({
    ...shape,
    out: heads_THE,
    log_z: logZ_TH,
    q: qkv_TM,
    k: qkv_TM + shape.keysAt,
    v: qkv_TM + shape.valuesAt,
  });
}

/**
 * dnormed = gradient through attention, and in a parallel block through the feed-forward layer, whose
 * gradients of gate and up are there; dhidden is left as it is.
 */
function backwardAttend(run: BlocksRun, layer: number): void {
  const { normed_TD, qkv_TM, heads_THE, logZ_TH } = run.records[layer]!;
  const { attentionOutput, qkv } = run.blocks[layer]!;
  const { backend, products, batch } = run;
  const { dheads_THE, dqkv_TM, dnormed_TD } = run.working;
  const { rows } = batch;
  const adding = { rows, accumulate: run.accumulate };
  const dy = branchGradient(run, { at: "attention", layer });
  products.backwardInput(attentionOutput, { dx: dheads_THE, dy, rows });
  products.backwardWeight(attentionOutput, { dy, x: heads_THE, ...adding });
  const shape = attentionShape(run);
  const { keysAt, valuesAt, q_stride, out_stride } = shape;
  backend.kernels.attention_backward({
    ...shape,
    dq: dqkv_TM,
    dk: dqkv_TM + keysAt,
    dv: dqkv_TM + valuesAt,
    dout: dheads_THE,
    out: heads_THE,
    log_z: logZ_TH,
    q: qkv_TM,
    k: qkv_TM + keysAt,
    v: qkv_TM + valuesAt,
    dq_stride: q_stride,
    dk_stride: q_stride,
    dv_stride: q_stride,
    dout_stride: out_stride,
  });
  turn(run, dqkv_TM, batch.ropeBack);
  products.backwardInput(qkv, { dx: dnormed_TD, dy: dqkv_TM, rows });
  products.backwardWeight(qkv, { dy: dqkv_TM, x: normed_TD, ...adding });
}

/** Turns queries and keys [T, (H + K)E of M] by the angles of a table. */
function turn(run: BlocksRun, qkv_TM: Address, table: Address): void {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = run.config;
  const { qkvStride: stride } = rowStrides(run.config);
  run.backend.kernels.rope({
    x: qkv_TM,
    table,
    rows: run.batch.rows,
    heads: H + K,
    head_dim: E,
    stride,
    layout: ROPE_LAYOUT_CODES[run.ropeLayout],
  });
}

/** What both directions of attention are told of rows and heads, and where keys and values begin. */
function attentionShape({ config, batch }: BlocksRun) {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = config;
  const { qkvStride } = rowStrides(config);
  return {
    starts: batch.starts_T,
    rows: batch.rows,
    heads: H,
    kv_heads: K,
    head_dim: E,
    q_stride: qkvStride,
    k_stride: qkvStride,
    v_stride: qkvStride,
    out_stride: H * E,
    scale: 1 / Math.sqrt(E),
    keysAt: 4 * H * E,
    valuesAt: 4 * (H + K) * E,
  };
}

/**
 * gated = silu(Wgate n) * Wup n, n the norm of the middle; in a parallel block gate and up are there,
 * as the first product has made them.
 */
function feedForward(run: BlocksRun, layer: number): void {
  const { middle_TD, middleNormed_TD, gateUp_T2F, gated_TF } = run.records[layer]!;
  const { feedForwardNorm, gateUp } = run.blocks[layer]!;
  const { backend, products, batch: { rows }, config } = run;
  const { intermediateSize: F } = config;
  if (gateUp !== undefined) {
    const out = middleNormed_TD;
    normalize(run, { out, x: middle_TD, weight: feedForwardNorm.weight, rows });
    products.forward(gateUp, { out: gateUp_T2F, x: out, rows });
  }
  const { gateUpStride } = rowStrides(config);
  backend.kernels.swiglu({
    out: gated_TF,
    gate: gateUp_T2F,
    up: gateUp_T2F + 4 * F,
    rows,
    dim: F,
    gate_stride: gateUpStride,
    up_stride: gateUpStride,
  });
}

/**
 * Gradients through the feed-forward layer: dnormed, or in a parallel block those of gate and up alone,
 * which go on with those of queries, keys and values; dhidden is left as it is.
 */
function backwardFeedForward(run: BlocksRun, layer: number): void {
  const { gateUp_T2F, gated_TF, middleNormed_TD } = run.records[layer]!;
  const { gateUp, down } = run.blocks[layer]!;
  const { backend, products, batch: { rows }, config } = run;
  const { dgated_TF, dnormed_TD, dqkv_TM } = run.working;
  const { intermediateSize: F } = config;
  const adding = { rows, accumulate: run.accumulate };
  const dy = branchGradient(run, { at: "feedForward", layer });
  products.backwardInput(down, { dx: dgated_TF, dy, rows });
  // In a serial block they take the place of gate and up, which nothing reads afterwards.
  const dgateUp = gateUp === undefined ? dqkv_TM + gateUpAt(config) : gateUp_T2F;
  const { gateUpStride } = rowStrides(config);
  backend.kernels.swiglu_backward({
    dgate: dgateUp,
    dup: dgateUp + 4 * F,
    out: run.recompute === "selective" ? gated_TF : 0,
    dy: dgated_TF,
    gate: gateUp_T2F,
    up: gateUp_T2F + 4 * F,
    rows,
    dim: F,
    gate_stride: gateUpStride,
    up_stride: gateUpStride,
    dgate_stride: gateUpStride,
    dup_stride: gateUpStride,
  });
  products.backwardWeight(down, { dy, x: gated_TF, ...adding });
  if (gateUp === undefined) return;
  products.backwardInput(gateUp, { dx: dnormed_TD, dy: dgateUp, rows });
  products.backwardWeight(gateUp, { dy: dgateUp, x: middleNormed_TD, ...adding });
}

/** dhidden += gradient through a norm of x, from dnormed. */
function backwardNorm(run: BlocksRun, norm: TrainedNorm, x: Address): void {
  const { dhidden_TD, dnormed_TD } = run.working;
  normBackward(run, { dx: dhidden_TD, dy: dnormed_TD, x, norm, rows: run.batch.rows });
}

/** What {@linkcode normBackward} reads and adds to. */
export interface NormBackwardArguments {
  /** Gradient of the input [rows, D], added to. */
  readonly dx: Address;
  /** Gradient of the result [rows, D]. */
  readonly dy: Address;
  /** Input [rows, D]. */
  readonly x: Address;
  /** Scale and its gradient, which is added to. */
  readonly norm: TrainedNorm;
  /** Rows. */
  readonly rows: number;
}

/** Backward of RMSNorm, or of LayerNorm with a scale alone, as the config has it. */
export function normBackward(
  run: Pick<BlocksSetup, "backend" | "config">,
  { dx, dy, x, norm, rows }: NormBackwardArguments,
): void {
  const { hiddenSize: dim, norm: kind, normEps: eps } = run.config;
  const { kernels } = run.backend;
  const args = { dx, dweight: norm.gradient, dy, x, weight: norm.weight, rows, dim, eps };
  if (kind === "rms") kernels.rms_norm_backward(args);
  else kernels.layer_norm_backward({ ...args, dbias: 0 });
}
