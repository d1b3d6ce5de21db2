/**
 * A decoder block that trains: forward and backward side by side, written by hand over kernels. Where
 * tensor ranks share a model, exchanges between them go on while products are computed that do not need
 * them, as in LLaMA (Touvron et al. 2023, section 2.4); bytes: `row_exchange.ts`.
 *
 * Shape suffixes: T rows of the batch, D hidden size, H query heads, K key and value heads, E head
 * dim, M = (H + 2K)E: queries, keys and values side by side, F feed-forward width. In a parallel block
 * gate and up stand beside queries, keys and values: one product makes all of them.
 * A gradient is called by the name of what it is the gradient of, with a d before it.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { TrainedWeight } from "./linear.ts";
import { attend, backwardAttend } from "./attention.ts";
import type { BlocksRun } from "./block_run.ts";
import type { DropoutSite } from "./dropout.ts";
import {
  backwardFeedForward,
  feedForward,
  gateUpGradient,
  gatheredMiddle,
} from "./feed_forward.ts";
import type { TrainedNorm } from "./parameters.ts";
import type { OnItsWay } from "./row_exchange.ts";
import { backwardQkvWeight, clearNormShares, normShare, sumNorms } from "./shared_sums.ts";
import {
  addBothHalves,
  addHalf,
  branchGradient,
  gatherGradient,
  type HalfArguments,
  normalizeOwn,
  normBackward,
  ownRange,
  sendGradient,
} from "./stream.ts";

/**
 * Serial: middle = input + attend(norm(input)), output = middle + feedForward(norm(middle)).
 * Parallel (PaLM): output = input + attend(norm(input)) + feedForward(norm(input)).
 */
export function forwardBlock(run: BlocksRun, layer: number): void {
  const { records, config: { parallelBlock }, exchange } = run;
  const [fromHeads, fromGated] = halves(run, layer);
  attend(run, layer);
  if (parallelBlock && exchange !== undefined) {
    feedForward(run, layer);
    addBothHalves(run, [fromHeads, fromGated]);
    return;
  }
  addHalf(run, fromHeads);
  feedForward(run, layer);
  const stream = parallelBlock ? fromGated.out : records[layer]!.middle_TD;
  addHalf(run, { ...fromGated, stream });
}

function sitesOf(layer: number): Readonly<Record<"attention" | "feedForward", DropoutSite>> {
  return { attention: { at: "attention", layer }, feedForward: { at: "feedForward", layer } };
}

/** What attention and the feed-forward layer add to the stream. */
function halves(run: BlocksRun, layer: number): [HalfArguments, HalfArguments] {
  const { records, blocks, config: { parallelBlock }, output_TD } = run;
  const { input_TD: stream, middle_TD, heads_THE, gated_TF } = records[layer]!;
  const { attentionOutput, down } = blocks[layer]!;
  const output = records[layer + 1]?.input_TD ?? output_TD;
  const { attention, feedForward } = sitesOf(layer);
  const out = parallelBlock ? output : middle_TD;
  return [
    { site: attention, out, stream, weight: attentionOutput, x: heads_THE },
    { site: feedForward, out: output, stream, weight: down, x: gated_TF },
  ];
}

/** Gradients of a block's weights, and dhidden: from that of its output to that of its input. */
export function backwardBlock(run: BlocksRun, layer: number): void {
  restore(run, layer);
  clearNormShares(run);
  const more = layer > 0;
  const toSum = run.config.parallelBlock
    ? backwardParallel(run, layer, { more })
    : backwardSerial(run, layer, { more });
  for (const sum of toSum) sum.finish();
}

/** Computes again what was not kept of a block. */
function restore(run: BlocksRun, layer: number): void {
  const { recompute, records, blocks, config: { parallelBlock } } = run;
  if (recompute === "none") return;
  const { input_TD, normed_TD, middle_TD, middleNormed_TD } = records[layer]!;
  const { attentionNorm, feedForwardNorm } = blocks[layer]!;
  if (recompute === "selective") {
    normalizeOwn(run, { out: normed_TD, x: input_TD, norm: attentionNorm });
    if (parallelBlock) return;
    normalizeOwn(run, { out: middleNormed_TD, x: middle_TD, norm: feedForwardNorm });
    return;
  }
  attend(run, layer);
  if (!parallelBlock) addHalf(run, halves(run, layer)[0]);
  feedForward(run, layer);
}

/** From the gradient of a branch of the stream to that of the stream before its norm. */
interface Branch {
  /** Its norm, and where its share of gradients stands among those of the block. */
  readonly norm: TrainedNorm;
  readonly index: 0 | 1;
  /** What the norm read. */
  readonly input: Address;
  /** The norm's result: own rows, and where all rows are or are brought. */
  readonly normed: Address;
  readonly gathered: Address;
  /** The weight that reads it, and where the gradient of its product is made. */
  readonly weight: TrainedWeight;
  readonly dproduct: Address;
  /** Makes that gradient. */
  readonly inner: () => void;
  /** Makes gradients of the branch's last weights. */
  readonly lastWeights: () => void;
  /** Makes that of its first one, whose inputs are given. */
  readonly firstWeight: (x_TD: Address) => void;
  /** Whether anybody reads the gradient of the stream of all rows afterwards. */
  readonly more: boolean;
}

/**
 * The order of work hides the exchanges: the norm's result is gathered during `inner`, the gradient of
 * it is summed during `lastWeights`, and that of the stream gathered during `firstWeight`.
 */
function backwardBranch(run: BlocksRun, branch: Branch): void {
  const { exchange, products, recompute, working, batch: { rows } } = run;
  const { norm, index, input, normed, gathered, weight, dproduct } = branch;
  const { dhidden_TD, dnormed_TD, partial_TD } = working;
  const isThere = exchange === undefined || recompute === "full";
  const coming = isThere ? undefined : exchange.startGather({ from: normed, to: gathered, rows });
  branch.inner();
  coming?.finish();
  const dx = exchange === undefined ? dnormed_TD : partial_TD;
  products.backwardInput(weight, { dx, dy: dproduct, rows });
  const sum = exchange?.startSum({ from: partial_TD, to: dnormed_TD, rows });
  branch.lastWeights();
  sum?.finish();
  normBackward(run, {
    dx: dhidden_TD,
    dy: dnormed_TD,
    x: input,
    norm: normShare(run, { norm, index }),
    rows: ownRange(run).rows,
  });
  if (branch.more) sendGradient(run);
  branch.firstWeight(exchange === undefined ? normed : gathered);
}

function backwardSerial(
  run: BlocksRun,
  layer: number,
  { more }: { readonly more: boolean },
): OnItsWay[] {
  const { products, accumulate, batch: { rows }, working } = run;
  const { input_TD, normed_TD, middle_TD, middleNormed_TD, heads_THE, gated_TF } = run
    .records[layer]!;
  const { attentionNorm, feedForwardNorm, qkv, gateUp, attentionOutput, down } = run.blocks[layer]!;
  const adding = { rows, accumulate };
  const sites = sitesOf(layer);
  gatherGradient(run);
  let dy = branchGradient(run, sites.feedForward);
  const dgateUp = gateUpGradient(run, layer);
  backwardBranch(run, {
    ...{ norm: feedForwardNorm, index: 1, input: middle_TD, normed: middleNormed_TD },
    ...{ gathered: gatheredMiddle(run), weight: gateUp!, dproduct: dgateUp, more: true },
    inner: () => backwardFeedForward(run, { layer, dy }),
    lastWeights: () => products.backwardWeight(down, { dy, x: gated_TF, ...adding }),
    firstWeight: (x) => products.backwardWeight(gateUp!, { dy: dgateUp, x, ...adding }),
  });
  gatherGradient(run);
  dy = branchGradient(run, sites.attention);
  const { gathered_TD: gathered, dqkv_TM } = working;
  const toSum: OnItsWay[] = [];
  backwardBranch(run, {
    ...{ norm: attentionNorm, index: 0, input: input_TD, normed: normed_TD, gathered, more },
    ...{ weight: qkv, dproduct: dqkv_TM },
    inner: () => backwardAttend(run, { layer, dy }),
    lastWeights: () => products.backwardWeight(attentionOutput, { dy, x: heads_THE, ...adding }),
    firstWeight: (x) => {
      toSum.push(sumNorms(run, [attentionNorm, feedForwardNorm]));
      toSum.push(backwardQkvWeight(run, { weight: qkv, dy: dqkv_TM, x }));
    },
  });
  return toSum;
}

function backwardParallel(
  run: BlocksRun,
  layer: number,
  { more }: { readonly more: boolean },
): OnItsWay[] {
  const { products, accumulate, batch: { rows }, working } = run;
  const { input_TD, normed_TD, heads_THE, gated_TF } = run.records[layer]!;
  const { attentionNorm, qkv, attentionOutput, down } = run.blocks[layer]!;
  const { gathered_TD: gathered, dqkv_TM } = working;
  const adding = { rows, accumulate };
  const sites = sitesOf(layer);
  const toSum: OnItsWay[] = [];
  gatherGradient(run);
  backwardBranch(run, {
    ...{ norm: attentionNorm, index: 0, input: input_TD, normed: normed_TD, gathered, more },
    ...{ weight: qkv, dproduct: dqkv_TM },
    inner: () => {
      let dy = branchGradient(run, sites.feedForward);
      backwardFeedForward(run, { layer, dy });
      dy = branchGradient(run, sites.attention);
      backwardAttend(run, { layer, dy });
    },
    lastWeights: () => {
      let dy = branchGradient(run, sites.attention);
      products.backwardWeight(attentionOutput, { dy, x: heads_THE, ...adding });
      dy = branchGradient(run, sites.feedForward);
      products.backwardWeight(down, { dy, x: gated_TF, ...adding });
    },
    firstWeight: (x) => {
      toSum.push(sumNorms(run, [attentionNorm]));
      toSum.push(backwardQkvWeight(run, { weight: qkv, dy: dqkv_TM, x }));
    },
  });
  return toSum;
}
