/**
 * Attention of a block that trains: from all rows of a norm's result to what the heads have gathered,
 * and back.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import { ROPE_LAYOUT_CODES } from "../rope.ts";
import type { BlocksRun } from "./block_run.ts";
import { rowStrides } from "./kept.ts";
import { normalizeOwn, withAllRows } from "./stream.ts";

/** heads = attention(rope(Wq n), rope(Wk n), Wv n), n = norm(input). */
export function attend(run: BlocksRun, layer: number): void {
  const { input_TD, normed_TD, qkv_TM, heads_THE, logZ_TH } = run.records[layer]!;
  const { attentionNorm, qkv } = run.blocks[layer]!;
  const { batch, products, working } = run;
  normalizeOwn(run, { out: normed_TD, x: input_TD, norm: attentionNorm });
  withAllRows(run, {
    from: normed_TD,
    to: working.gathered_TD,
    use: (x, { first, rows }) => {
      const out = qkv_TM + 4 * first * qkv.outDim;
      products.forward(qkv, { out, x: x + 4 * first * qkv.inDim, rows });
    },
  });
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

/** dqkv: from the gradient dy of what attention has added to the stream, all rows. */
export function backwardAttend(
  run: BlocksRun,
  { layer, dy }: { readonly layer: number; readonly dy: Address },
): void {
  const { qkv_TM, heads_THE, logZ_TH } = run.records[layer]!;
  const { attentionOutput } = run.blocks[layer]!;
  const { backend, products, batch } = run;
  const { dheads_THE, dqkv_TM } = run.working;
  products.backwardInput(attentionOutput, { dx: dheads_THE, dy, rows: batch.rows });
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
function attentionShape({ config, batch, products }: BlocksRun) {
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
    precision: products.precision,
    keysAt: 4 * H * E,
    valuesAt: 4 * (H + K) * E,
  };
}
