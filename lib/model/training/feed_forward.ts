/**
 * The feed-forward layer of a block that trains: from all rows of a norm's result to what its last
 * weight multiplies, and back.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { BlocksRun } from "./block_run.ts";
import { gateUpAt, rowStrides } from "./kept.ts";
import { normalizeOwn, withAllRows } from "./stream.ts";

/** Where all rows of the second norm's result are: they outlive those of the first under `full`. */
export function gatheredMiddle({ recompute, working }: BlocksRun): Address {
  return recompute === "full" ? working.gatheredMiddle_TD : working.gathered_TD;
}

/**
 * gated = silu(Wgate n) * Wup n, n the norm of the middle; in a parallel block gate and up are there,
 * as the first product has made them.
 */
export function feedForward(run: BlocksRun, layer: number): void {
  const { middle_TD, middleNormed_TD, gateUp_T2F, gated_TF } = run.records[layer]!;
  const { feedForwardNorm, gateUp } = run.blocks[layer]!;
  const { backend, products, batch: { rows: all }, config } = run;
  const { intermediateSize: F } = config;
  if (gateUp !== undefined) {
    normalizeOwn(run, { out: middleNormed_TD, x: middle_TD, norm: feedForwardNorm });
    withAllRows(run, {
      from: middleNormed_TD,
      to: gatheredMiddle(run),
      use: (x, { first, rows }) => {
        const out = gateUp_T2F + 4 * first * gateUp.outDim;
        products.forward(gateUp, { out, x: x + 4 * first * gateUp.inDim, rows });
      },
    });
  }
  const { gateUpStride } = rowStrides(config);
  backend.kernels.swiglu({
    out: gated_TF,
    gate: gateUp_T2F,
    up: gateUp_T2F + 4 * F,
    rows: all,
    dim: F,
    gate_stride: gateUpStride,
    up_stride: gateUpStride,
  });
}

/** Where the gradients of gate and up go: in a serial block they take the place of what nothing reads. */
export function gateUpGradient(run: BlocksRun, layer: number): Address {
  const { config, records, working } = run;
  return config.parallelBlock ? working.dqkv_TM + gateUpAt(config) : records[layer]!.gateUp_T2F;
}

/** Gradients of gate and up: from that dy of what the layer has added to the stream, all rows. */
export function backwardFeedForward(
  run: BlocksRun,
  { layer, dy }: { readonly layer: number; readonly dy: Address },
): void {
  const { gateUp_T2F, gated_TF } = run.records[layer]!;
  const { down } = run.blocks[layer]!;
  const { backend, products, batch: { rows }, config, working: { dgated_TF } } = run;
  const { intermediateSize: F } = config;
  products.backwardInput(down, { dx: dgated_TF, dy, rows });
  const dgateUp = gateUpGradient(run, layer);
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
}
