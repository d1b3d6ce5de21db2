/**
 * Bytes that ranks send in a step, by kind: the formulas of every scheme.
 *
 * With P parameters on a rank (of its tensor slice and stage), N ranks on an axis, f32 gradients:
 *
 * - data: an all-reduce sends 2 (N - 1)/N 4 P; of shards' parts P / S with ZeRO.
 * - shard: a reduce-scatter sends (S - 1)/S 4 P once a step, for micro-batches are added up first (or, as
 *   the all-reduce, after every micro-batch, where one tree makes replicas take turns); a gather
 *   of weights (S - 1)/S w P once a step (ZeRO 1 and 2), w bytes each, or about twice a micro-batch (3;
 *   exactly in `weight_gathers.ts`; Rajbhandari et al. 2020, arXiv:1910.02054, section 7).
 * - tensor: a gather or a reduce-scatter of rows [T, D] sends (N - 1)/N v T D, v bytes a value. Two of each
 *   forward in a serial block and one in a parallel one; backward as many, and a gather for every product
 *   whose rows were gathered (Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.2); `full`
 *   recomputation gathers these when it goes forward again. The head has one of each; the embedding sends
 *   rows to those who need them, (N - 1)/N² v T D each way (`vocabulary_embedding.ts`).
 * - pipeline: v T D / N_tensor for every micro-batch that crosses from one rank to another, both ways; and
 *   where first and last stage have a copy each of a tied embedding, its gradient 4 V D / N_tensor from both.
 *
 * @module
 */

import type { Recompute, TrainingDType } from "../model/training/trainable.ts";
import type { ModelConfig } from "../model/config.ts";
import { pieceParameters } from "./piece_parameters.ts";
import { gatheredParameters } from "./weight_gathers.ts";
import { sentBytes } from "./links.ts";
import { microBatchesOf, type StepShape } from "./step_shape.ts";

/** Bytes that a rank sends in a step, by kind; the mean over the ranks of a pipeline. */
export interface StepTraffic {
  /** Gradients, summed over replicas. */
  readonly gradientAllReduce: number;
  /** Gradients, summed and scattered over shards. */
  readonly gradientReduceScatter: number;
  /** Weights, gathered over shards. */
  readonly weightAllGather: number;
  /** Rows, gathered over tensor-parallel ranks. */
  readonly tensorAllGather: number;
  /** Rows, summed and scattered over tensor-parallel ranks. */
  readonly tensorReduceScatter: number;
  /** Rows of the embedding and their gradients, between the rank of the row and that of its token. */
  readonly tensorSend: number;
  /** Hidden states and their gradients, from stage to stage; a tied embedding's gradient between the ends. */
  readonly pipelineSend: number;
  /** All of them. */
  readonly total: number;
}

/** Bytes of what travels. */
export interface TravellingBytes {
  /** A hidden value or its gradient, that is summed or goes to another stage. */
  readonly value: 2 | 4;
  /** One of rows that are gathered. */
  readonly gathered: 2 | 4;
  /** A weight that is gathered. */
  readonly weight: 2 | 4;
}

/** bf16 values and weights, as accelerators have them. */
export const HALVES: TravellingBytes = { value: 2, gathered: 2, weight: 2 };

/** f32 values and weights, as this machine's backends exchange them; in bf16 rows are gathered as such. */
export function floats(dtype: TrainingDType): TravellingBytes {
  return { value: 4, gathered: dtype === "bf16" ? 2 : 4, weight: 4 };
}

/** How often rows are exchanged for one micro-batch. */
interface Exchanges {
  /** All-gathers. */
  readonly gathers: number;
  /** Reduce-scatters. */
  readonly scatters: number;
}

/** Exchanges of a block, forward and backward. */
function blockExchanges(
  { parallelBlock }: Pick<ModelConfig, "parallelBlock">,
  recompute: Recompute,
): Exchanges {
  const halves = parallelBlock ? 1 : 2;
  // The last product of a block is not needed again, and neither is the sum that would follow it; rows
  // that were gathered for those before it stay until their weights' gradients are made.
  const scattersAgain = recompute === "full" ? halves - 1 : 0;
  return { gathers: 3 * halves, scatters: 2 * halves + scattersAgain };
}

/** Bytes that a rank sends in a step. @throws {ConfigError} Where the model cannot be cut so. */
export function planStepTraffic(shape: StepShape, travelling: TravellingBytes): StepTraffic {
  const bytes = { ...replicaTraffic(shape, travelling), ...partTraffic(shape, travelling) };
  return { ...bytes, total: Object.values(bytes).reduce((sum, kind) => sum + kind, 0) };
}

/** Parameters of the mean rank. */
function meanParameters(shape: StepShape): number {
  const { model: { numHiddenLayers }, mesh: { pipeline } } = shape;
  const ends = pieceParameters("embedding", shape) + pieceParameters("head", shape);
  return (ends + numHiddenLayers * pieceParameters("block", shape)) / pipeline;
}

function replicaTraffic(shape: StepShape, { weight }: TravellingBytes) {
  const { zero, gradientSums = 1, mesh: { data, shard } } = shape;
  const parameters = meanParameters(shape);
  const sharded = zero > 0 && shard > 1;
  const gathered = zero === 3 ? gatheredParameters(shape) : parameters;
  const replicas = sharded ? data : data * shard;
  const own = sharded ? parameters / shard : parameters;
  const over = (bytes: number, size: number) => sentBytes("allGather", { bytes, size });
  return {
    gradientAllReduce: gradientSums * sentBytes("allReduce", { bytes: 4 * own, size: replicas }),
    gradientReduceScatter: sharded ? gradientSums * over(4 * parameters, shard) : 0,
    weightAllGather: sharded ? over(weight * gathered, shard) : 0,
  };
}

function partTraffic(shape: StepShape, { value, gathered }: TravellingBytes) {
  const { model, microBatch, seqLen, recompute, chunks, mesh: { tensor, pipeline } } = shape;
  const microBatches = microBatchesOf(shape);
  const rowsBytes = value * microBatch * seqLen * model.hiddenSize;
  const { gathers, scatters } = blockExchanges(model, recompute);
  const exchanged = microBatches * sentBytes("allGather", { bytes: rowsBytes, size: tensor });
  // Before the head rows are gathered, and behind it the gradient's are added up.
  const times = (count: number) => exchanged * (model.numHiddenLayers * count + 1) / pipeline;
  const tied = model.tieWordEmbeddings && pipeline > 1
    ? 2 * 4 * model.vocabSize * model.hiddenSize
    : 0;
  const crossings = pipeline === 1 ? 0 : 2 * (pipeline * chunks - 1);
  return {
    tensorAllGather: times(gathers) * gathered / value,
    tensorReduceScatter: times(scatters),
    tensorSend: 2 * exchanged / tensor / pipeline,
    pipelineSend: (microBatches * crossings * rowsBytes + tied) / tensor / pipeline,
  };
}
