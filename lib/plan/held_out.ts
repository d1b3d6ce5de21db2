/**
 * Published runs that nothing is fitted to: how far the constants of a chip carry.
 *
 * Megatron's four models on A100s (Korthikanti et al. 2022, arXiv:2205.05198, table 5: sequence parallelism
 * and selective recomputation). They are GPTs: a feed-forward layer of two matrices [h, 4h], here three of
 * the same size together; and attention that stores its scores, here in tiles.
 *
 * @module
 */

import { presetOf } from "../model/presets.ts";
import type { PublishedRun } from "./published.ts";

/** Width, layers, heads; micro-batch; pipeline, stages of a rank; sequences of a step; seconds of a step. */
type Megatron = readonly [number, number, number, number, number, number, number, number];

/** Tensor-parallel ranks of all of them. */
const TENSOR = 8;

function megatron(
  name: string,
  [width, layers, heads, microBatch, pipeline, chunks, sequences, seconds]: Megatron,
): PublishedRun {
  return {
    preset: name,
    model: {
      ...presetOf("llama1-7b").config,
      hiddenSize: width,
      numHiddenLayers: layers,
      numAttentionHeads: heads,
      numKeyValueHeads: heads,
      headDim: width / heads,
      intermediateSize: TENSOR * Math.round(width / 3),
      vocabSize: 51200,
      tieWordEmbeddings: true,
    },
    hardware: "a100-80gb",
    devices: TENSOR * pipeline,
    stepSeconds: seconds,
    unit: "s/step",
    source: "Korthikanti et al. 2022, table 5",
    step: {
      seqLen: 2048,
      sequences,
      microBatch,
      recompute: "selective",
      mesh: { data: 1, shard: 1, tensor: TENSOR, pipeline },
      zero: 0,
      chunks,
    },
    assumed: [],
  };
}

/** Megatron's models, to which no constant is fitted (Korthikanti et al. 2022, table 5). */
export const HELD_OUT_RUNS: readonly PublishedRun[] = [
  megatron("megatron-22b", [6144, 48, 64, 4, 1, 1, 4, 1.1]),
  megatron("megatron-175b", [12288, 96, 96, 1, 8, 3, 64, 13.75]),
  megatron("megatron-530b", [20480, 105, 128, 1, 35, 3, 280, 37.83]),
  megatron("megatron-1t", [25600, 128, 160, 1, 64, 1, 512, 71.49]),
];
