/**
 * The loss of a decoder in double precision, as plainly as the papers write it: one token, one head, one
 * coordinate at a time. It shares nothing with lib/model but the name table and the random numbers, and
 * differentiates by central differences.
 *
 * @module
 */

import { RandomStream } from "../../../lib/base/random.ts";
import type { ModelConfig } from "../../../lib/model/config.ts";
import type { DropoutState, TrainBatch } from "../../../lib/model/training/trainable.ts";

/** Weights by canonical name. */
export type Weights = ReadonlyMap<string, Float64Array>;

/** How the loss is computed. */
export interface ReferenceOptions {
  /** Weight of log^2 Z. */
  readonly zLoss: number;
  /** What the logits are divided by. @default {1} */
  readonly temperature?: number;
  /** What is dropped. */
  readonly dropout?: DropoutState & { readonly probability: number };
}

type Rows = Float64Array[];

/** y = W x for a weight [out, in]. */
function multiply(weight: Float64Array, x: Float64Array): Float64Array {
  const inDim = x.length;
  return Float64Array.from({ length: weight.length / inDim }, (_, n) => {
    let sum = 0;
    for (let k = 0; k < inDim; k++) sum += weight[n * inDim + k]! * x[k]!;
    return sum;
  });
}

function normed(x: Float64Array, scale: Float64Array, config: ModelConfig): Float64Array {
  const mean = config.norm === "layer" ? x.reduce((a, b) => a + b, 0) / x.length : 0;
  const square = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const factor = 1 / Math.sqrt(square + config.normEps);
  return x.map((value, i) => scale[i]! * (value - mean) * factor);
}

/** Frequencies of pairs, stretched as Llama 3.1's published code or YaRN's does, or all by one factor. */
function frequencies({ headDim, ropeTheta, ropeScaling }: ModelConfig): number[] {
  if (ropeScaling?.type === "dynamic") throw new Error("no reference has a dynamic scaling here");
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = 1 / ropeTheta ** (2 * i / headDim);
    if (ropeScaling === undefined) return frequency;
    const { factor } = ropeScaling;
    if (ropeScaling.type === "linear") return frequency / factor;
    if (ropeScaling.type === "yarn") {
      const pairOf = (turns: number) =>
        headDim / 2 * Math.log(ropeScaling.originalMaxPositionEmbeddings / (2 * Math.PI * turns)) /
        Math.log(ropeTheta);
      const low = Math.max(0, Math.floor(pairOf(ropeScaling.betaFast)));
      const high = Math.min(headDim - 1, Math.ceil(pairOf(ropeScaling.betaSlow)));
      const share = i <= low ? 0 : i >= high ? 1 : (i - low) / (high - low);
      return share * frequency / factor + (1 - share) * frequency;
    }
    const { lowFreqFactor, highFreqFactor } = ropeScaling;
    const original = ropeScaling.originalMaxPositionEmbeddings;
    const wavelength = 2 * Math.PI / frequency;
    if (wavelength < original / highFreqFactor) return frequency;
    if (wavelength > original / lowFreqFactor) return frequency / factor;
    const smooth = (original / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  });
}

/** Turns the pairs (i, i + d/2) of every head in place. */
function turn(x: Float64Array, position: number, config: ModelConfig): void {
  const { headDim: E } = config;
  const half = E / 2;
  const speeds = frequencies(config);
  const magnitude = config.ropeScaling?.type === "yarn" ? config.ropeScaling.attentionFactor : 1;
  for (let head = 0; head < x.length; head += E) {
    for (let i = 0; i < half; i++) {
      const [cos, sin] = [Math.cos(position * speeds[i]!), Math.sin(position * speeds[i]!)];
      const [a, b] = [x[head + i]!, x[head + i + half]!];
      x[head + i] = magnitude * (a * cos - b * sin);
      x[head + i + half] = magnitude * (b * cos + a * sin);
    }
  }
}

/** What attention reads: queries, keys and values of all rows. */
interface Attended {
  readonly q: Rows;
  readonly k: Rows;
  readonly v: Rows;
}

/** Causal attention inside documents, the whole softmax of every row. */
function attend({ q, k, v }: Attended, starts: Int32Array, config: ModelConfig): Rows {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: E } = config;
  return q.map((query, row) => {
    const out = new Float64Array(H * E);
    for (let h = 0; h < H; h++) {
      const at = Math.floor(h / (H / K)) * E;
      const scores: number[] = [];
      for (let s = starts[row]!; s <= row; s++) {
        let dot = 0;
        for (let e = 0; e < E; e++) dot += query[h * E + e]! * k[s]![at + e]!;
        scores.push(dot / Math.sqrt(E));
      }
      const most = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - most));
      const total = shares.reduce((a, b) => a + b, 0);
      shares.forEach((share, i) => {
        for (let e = 0; e < E; e++) {
          out[h * E + e]! += share / total * v[starts[row]! + i]![at + e]!;
        }
      });
    }
    return out;
  });
}

/** Drops elements of rows as the words of Philox say. */
function dropped(rows: Rows, place: number, run: Run): Rows {
  const { options: { dropout }, config } = run;
  if (dropout === undefined) return rows;
  const { seed, step, firstRow = 0, probability } = dropout;
  const stream = new RandomStream(seed, step * (1 + 2 * config.numHiddenLayers) + place);
  return rows.map((row, r) =>
    row.map((value, i) => {
      const at = (firstRow + r) * row.length + i;
      const word = stream.bits(Math.floor(at / 4))[at % 4]!;
      return word >= probability * 2 ** 32 ? value / (1 - probability) : 0;
    })
  );
}

interface Run {
  readonly config: ModelConfig;
  readonly weights: Weights;
  readonly batch: TrainBatch;
  readonly options: ReferenceOptions;
}

const sum = (a: Rows, b: Rows): Rows => a.map((row, r) => row.map((value, i) => value + b[r]![i]!));

function block(run: Run, stream: Rows, layer: number): Rows {
  const { config, weights, batch } = run;
  const get = (role: string) => weights.get(`layers.${layer}.${role}`)!;
  const input = stream.map((x) => normed(x, get("attention_norm"), config));
  const project = (role: string) => input.map((x) => multiply(get(role), x));
  const [q, k, v] = [project("attention.q"), project("attention.k"), project("attention.v")];
  for (const rows of [q, k]) rows.forEach((x, row) => turn(x, batch.positions[row]!, config));
  const heads = attend({ q, k, v }, batch.starts, config);
  const attention = heads.map((x) => multiply(get("attention.output"), x));
  const middle = sum(stream, dropped(attention, 1 + 2 * layer, run));
  const wide = config.parallelBlock
    ? input
    : middle.map((x) => normed(x, get("feed_forward_norm"), config));
  const narrow = wide.map((x) => {
    const up = multiply(get("feed_forward.up"), x);
    const gated = multiply(get("feed_forward.gate"), x).map((g, i) =>
      g / (1 + Math.exp(-g)) * up[i]!
    );
    return multiply(get("feed_forward.down"), gated);
  });
  return sum(middle, dropped(narrow, 2 + 2 * layer, run));
}

/** sum_t weight_t (-log p(target_t) + zLoss log^2 Z_t) over the targets that count. */
export function referenceLoss(
  config: ModelConfig,
  weights: Weights,
  batch: TrainBatch,
  options: ReferenceOptions,
): number {
  const run: Run = { config, weights, batch, options };
  const D = config.hiddenSize;
  const embedding = weights.get("embedding")!;
  const embedded = Array.from(batch.tokens, (id) => embedding.slice(id * D, (id + 1) * D));
  let stream = dropped(embedded, 0, run);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) stream = block(run, stream, layer);
  const head = weights.get(config.tieWordEmbeddings ? "embedding" : "head")!;
  return stream.reduce((loss, x, row) => {
    const target = batch.targets[row]!;
    if (target < 0) return loss;
    const logits = multiply(head, normed(x, weights.get("final_norm")!, config))
      .map((logit) => logit * config.logitsScale / (options.temperature ?? 1));
    const most = Math.max(...logits);
    const logZ = most + Math.log(logits.reduce((all, logit) => all + Math.exp(logit - most), 0));
    const weight = batch.weights?.[row] ?? 1;
    return loss + weight * (logZ - logits[target]! + options.zLoss * logZ ** 2);
  }, 0);
}

/** Central difference of a loss in one element of a weight, of fourth order. */
export function centralDifference(values: Float64Array, at: number, loss: () => number): number {
  const [value, step] = [values[at]!, 1e-3];
  const moved = (steps: number) => {
    values[at] = value + steps * step;
    return loss();
  };
  const difference = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step);
  values[at] = value;
  return difference;
}
