/**
 * What replicas of a model train with, put together: the sum of gradients over micro-batches and
 * replicas, ZeRO among the ranks of the shard axis, and the stages of a pipeline.
 *
 * Two pods as PaLM's (Chowdhery et al. 2022, arXiv:2204.02311, section 4.1) are `data=2,shard=N`:
 * inside a pod the shard axis has the model once, and between pods each rank exchanges with its twin
 * the gradients of what both own; both then make the same update, bit for bit.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { Mesh } from "../comm/mesh.ts";
import type { Streamed } from "../model/training/trainable.ts";
import type { TrainableModel } from "../model/training/trainable_model.ts";
import { GradientReducer } from "../parallel/data.ts";
import { DeviceGradientReducer } from "../parallel/device_sum.ts";
import { GradientSum } from "../parallel/gradient_sum.ts";
import type { ReduceOrder } from "../parallel/micro_batches.ts";
import { OwnGradients } from "../parallel/own_gradients.ts";
import { stagesOfUnits } from "../parallel/pipeline_stages.ts";
import { TiedGradient } from "../parallel/tied_gradient.ts";
import { Shards } from "../parallel/zero.ts";
import type { ConnectedGpus } from "./gpus.ts";
import { type GradientEngine, WholeModelEngine } from "./gradient_engine.ts";
import type { OptimizerSharing } from "./optimizer.ts";
import { PipelineEngine } from "./pipeline_engine.ts";
import type { TrainSettings } from "./settings.ts";

/** What a replica is put together from. */
export interface ReplicaParts {
  /** The model, whose observer is set. */
  readonly model: TrainableModel;
  /** The ranks. */
  readonly mesh: Pick<Mesh, "replicas" | "axes">;
  /** Settings of the run. */
  readonly settings: Pick<TrainSettings, "reduce" | "microBatch">;
  /** Most rows of a micro-batch. */
  readonly maxRows: number;
  /** What the model has of one unit at a time. */
  readonly streamed?: Streamed | undefined;
  /** Bytes of a bucket of gradients. */
  readonly bucketBytes?: number | undefined;
  /** Whether gradients travel while others are computed. @default {true} */
  readonly overlap?: boolean | undefined;
  /** The ranks' GPUs, where they are connected; the caller closes them. */
  readonly gpus?: ConnectedGpus | undefined;
}

/** A replica, or one of the ranks that share it out. */
export interface Replica {
  /** Computes gradients. */
  readonly engine: GradientEngine;
  /** What the optimizer is to know; nothing where this rank has everything. */
  readonly sharing: OptimizerSharing | undefined;
  /** What this rank owns, where the shard axis has several ranks. */
  readonly shards: Shards | undefined;
  /** Gives the memory back. */
  close(): void;
}

/** Takes the memory of shards. @throws {BackendError} Where there is too little. */
export function openReplica(backend: Backend, parts: ReplicaParts): Replica {
  const { model, mesh: { replicas, axes }, settings, maxRows, gpus } = parts;
  const { streamed = { weights: false, gradients: false } } = parts;
  const { reduce: order = "ranks", microBatch } = settings;
  const { shard, tensor, pipeline: ranks } = axes;
  const shards = shard.size > 1
    ? new Shards(backend, model, { shard, streamed, gpus: gpus?.shard })
    : undefined;
  const stageOf = stagesOfUnits(model.passes.stages);
  const sums = model.passes.stages.map((_, stage) => {
    const units = model.units.map((unit, at) => stageOf[at] === stage ? unit : []);
    return stageSum(backend, { ...parts, units, shards, order });
  });
  model.observer = {
    enter: (unit, pass) => shards?.weights.enter(unit, pass),
    leave: (unit, pass) => {
      if (pass === "backward") sums[stageOf[unit]!]!.left(unit);
    },
    written: (parameter, range) => shards?.weights.written(parameter, range),
  };
  // A pipeline sets this again: its messages are on their way too.
  model.passes.between = () => sums.forEach((sum) => sum.progress());
  const partitioned = shards?.gradients !== undefined;
  const sharing = { microBatch, replicas, order, partitioned };
  const counted = gpus?.counted ?? [];
  const isCut = shards !== undefined || tensor.size > 1;
  const pipeline = ranks.size > 1
    ? new PipelineEngine(backend, { model, ranks, maxRows, sums, sharing, shards, gpus })
    : undefined;
  return {
    engine: pipeline ??
      new WholeModelEngine({
        model,
        sum: sums[0]!,
        sharing,
        weights: shards?.weights,
        communicators: [...model.passes.communicators, ...counted],
      }),
    sharing: isCut
      ? { axes: { shard, tensor }, ownership: shards?.ownership, pieces: shards?.pieces }
      : undefined,
    shards,
    close() {
      for (const sum of sums) sum.close();
      pipeline?.close();
      shards?.close();
    },
  };
}

/** Adds up the gradients of some units, over micro-batches and replicas. */
function stageSum(
  backend: Backend,
  options: ReplicaParts & {
    readonly units: readonly (readonly number[])[];
    readonly shards: Shards | undefined;
    readonly order: ReduceOrder;
  },
): GradientSum {
  const { model: { parameters }, mesh: { axes }, shards, order, bucketBytes, overlap } = options;
  const gpus = options.gpus?.data ?? options.gpus?.shard ? options.gpus : undefined;
  const tied = gpus === undefined ? tiedGradient(backend, options) : undefined;
  const units = options.units.map((unit, at) => at === 0 && tied !== undefined ? [] : unit);
  const common = { parameters, bucketBytes, overlap, indices: units.flat() };
  const own = shards?.gradients;
  const reducer = gpus === undefined
    ? new GradientReducer(backend, {
      ...{ ...common, replicas: axes.data, shard: shards?.ownership },
      take: own instanceof OwnGradients ? own.take : undefined,
    })
    : new DeviceGradientReducer(backend, {
      ...{ ...common, replicas: gpus.data },
      shard: gpus.shard && { ranks: gpus.shard, partition: shards!.ownership.partition },
      own: own instanceof OwnGradients ? undefined : own,
    });
  return new GradientSum(backend, { parameters, units, reducer, order, own, tied });
}

/** Share of the vocabulary that replicas may look up at once for its gradient to be sent off early. */
const MOST_LOOKED_UP = 1 / 8;

/**
 * Sends a tied embedding's gradient off early, where replicas have all of it and few of its rows have
 * to travel again. In one tree micro-batches are added in another order, and gradients that are shared
 * out part with their memory.
 */
function tiedGradient(
  backend: Backend,
  { model, mesh: { axes }, maxRows, order, overlap = true }: ReplicaParts & {
    readonly order: ReduceOrder;
  },
): TiedGradient | undefined {
  const { data, shard, tensor, pipeline } = axes;
  const { tieWordEmbeddings, vocabSize } = model.config;
  if (!overlap || !tieWordEmbeddings || data.size === 1 || order !== "ranks") return undefined;
  if (shard.size * tensor.size * pipeline.size > 1) return undefined;
  if (data.size * maxRows > vocabSize * MOST_LOOKED_UP) return undefined;
  return new TiedGradient(backend, { parameter: model.parameters[0]!, replicas: data });
}
