/**
 * A training step on paper: every pass of every micro-batch through every layer, on every rank of the
 * pipeline, with the communication beside it. All ranks that differ in data, shard and tensor alone do the
 * same at the same time, so that one of them (`rank_replay.ts`) stands for thousands.
 *
 * @module
 */

import type { Device } from "./kernel_time.ts";
import {
  type CommunicationSeconds,
  type RankRecorder,
  RankReplay,
  StepTimes,
} from "./rank_replay.ts";
import { microBatchesOf, stagesOf, type StepShape } from "./step_shape.ts";

/** Where the seconds of a step go, on the mean rank; they add up to the step. */
export interface StepSeconds {
  /** All of it. */
  readonly step: number;
  /** Products, attention and what moves memory. */
  readonly computing: number;
  /** Waiting for tensor-parallel ranks. */
  readonly tensor: number;
  /** Waiting for weights that are gathered, and for gradients to be summed. */
  readonly replicas: number;
  /** Waiting for other stages. */
  readonly pipeline: number;
  /** Updating the weights. */
  readonly optimizer: number;
}

/** A device, and who sees what it does. */
export interface ReplayedDevice extends Device {
  /** Sees every task of every rank of the pipeline. */
  readonly record?: RankRecorder | undefined;
}

/** A step on paper. */
export interface StepReplay extends StepSeconds {
  /** Waiting for other stages over all the rest: the bubble. */
  readonly bubble: number;
  /** Seconds in which the busiest rank computes and exchanges rows. */
  readonly busiest: number;
  /** Seconds of communication by kind, hidden or not, of the mean rank. */
  readonly communication: CommunicationSeconds;
  /** Tasks that were replayed. */
  readonly tasks: number;
}

/** All ranks of a pipeline, each as far as what the others send allows, until all have computed everything. */
function replayRanks(shape: StepShape, device: ReplayedDevice): RankReplay[] {
  const times = new StepTimes(shape, device);
  const stages = stagesOf(shape);
  const ranks = Array.from(
    { length: shape.mesh.pipeline },
    (_, rank) => new RankReplay(rank, { times, stages, record: device.record }),
  );
  const arrived = new Map<number, number>();
  while (ranks.some(({ done }) => !done)) {
    const moved = ranks.filter((rank) => rank.advance(arrived));
    if (moved.length === 0) throw new RangeError("a pipeline that cannot end");
  }
  return ranks;
}

/** Replays a step. @throws {ConfigError} Where the model cannot be cut so. */
export function replayStep(shape: StepShape, device: ReplayedDevice): StepReplay {
  const ranks = replayRanks(shape, device);
  const mean = (value: (rank: RankReplay) => number) =>
    ranks.reduce((sum, rank) => sum + value(rank), 0) / ranks.length;
  // The clipping norm is over all ranks: none updates before the last has summed its gradients.
  const reduced = Math.max(...ranks.map((rank) => rank.reduced));
  const optimizer = Math.max(...ranks.map((rank) => rank.optimizer));
  const step = reduced + optimizer;
  const computed = Math.max(...ranks.map((rank) => rank.computed));
  const [computing, tensor] = [mean((rank) => rank.computing), mean((rank) => rank.tensor)];
  const replicas = mean(({ waitedForWeights }) => waitedForWeights) + reduced - computed;
  const pipeline = step - optimizer - computing - tensor - replicas;
  const communication = (kind: keyof CommunicationSeconds) =>
    mean((rank) => rank.communication()[kind]);
  return {
    step,
    computing,
    tensor,
    replicas,
    pipeline,
    optimizer,
    bubble: pipeline / (computing + tensor),
    busiest: Math.max(...ranks.map((rank) => rank.computing + rank.tensor)),
    communication: {
      tensor: communication("tensor"),
      replicas: communication("replicas"),
      pipeline: communication("pipeline"),
    },
    tasks: ranks.reduce((sum, { tasks }) => sum + tasks, 0),
  };
}

/** Rounds of a pipeline after which one is like the other. */
const ROUNDS = 3;

/**
 * Replays a step of many micro-batches by its beginning and end: after a few rounds of the pipeline
 * each round takes as long as the one before, so that two short replays say what a long one would. Where
 * stages differ the faster ranks run ahead for some rounds yet; in the long run none is faster than the
 * busiest.
 *
 * @throws {ConfigError} Where the model cannot be cut so.
 */
export function replayLongStep(shape: StepShape, device: Device): StepReplay {
  const { mesh: { data, shard, pipeline }, microBatch } = shape;
  const all = microBatchesOf(shape);
  const few = ROUNDS * pipeline + all % pipeline;
  const more = few + pipeline;
  if (all <= more + pipeline) return replayStep(shape, device);
  const [short, long] = [few, more].map((microBatches) =>
    replayStep({ ...shape, sequences: microBatches * microBatch * data * shard }, device)
  ) as [StepReplay, StepReplay];
  const rounds = (all - more) / pipeline;
  const extend = (from: number, to: number) => to + rounds * (to - from);
  const seconds = (kind: keyof StepSeconds) => extend(short[kind], long[kind]);
  const busiest = extend(short.busiest, long.busiest);
  const round = Math.max(long.step - short.step, long.busiest - short.busiest);
  const step = long.step + rounds * round;
  const [computing, tensor, replicas, optimizer] = [
    seconds("computing"),
    seconds("tensor"),
    seconds("replicas"),
    seconds("optimizer"),
  ];
  // Without stages that wait it is what rounding leaves, which may be less than nothing.
  const waited = Math.max(0, step - computing - tensor - replicas - optimizer);
  const communication = (kind: keyof CommunicationSeconds) =>
    extend(short.communication[kind], long.communication[kind]);
  return {
    step,
    computing,
    tensor,
    replicas,
    pipeline: waited,
    optimizer,
    bubble: waited / (computing + tensor),
    busiest,
    communication: {
      tensor: communication("tensor"),
      replicas: communication("replicas"),
      pipeline: communication("pipeline"),
    },
    tasks: short.tasks + long.tasks,
  };
}
