/**
 * The memory of every rank of a run on paper, from settings and mesh alone: what `openMachine` takes.
 *
 * @module
 */

import { coordinatesOf, MESH_AXES, type MeshNumbers, meshSize } from "../comm/mesh.ts";
import { BatchRamp } from "../data/ramp.ts";
import { takesTurns } from "../parallel/micro_batches.ts";
import { replayPipeline } from "../parallel/pipeline_replay.ts";
import type { MailPlan } from "../parallel/device_memory.ts";
import { costOfStage, type PlannedPipeline, stageCosts } from "../parallel/pipeline_stages.ts";
import { planReplicaBytes, type ReplicaBytes } from "../parallel/replica_memory.ts";
import { floats, planStepTraffic, type StepTraffic } from "../plan/step_traffic.ts";
import { type MeshPlace, rankOptions, streamedBy } from "./machine.ts";
import { mostKeptBatches, plannedPipeline } from "./pipeline_engine.ts";
import type { RunConfig } from "./run_config.ts";

/** A rank of a mesh that nobody has opened yet, with its GPU connected to those of the others or not. */
export function placeOf(
  rank: number,
  sizes: MeshNumbers,
  { connected = false }: { readonly connected?: boolean | undefined } = {},
): MeshPlace {
  const coordinates = coordinatesOf(rank, sizes);
  const axis = (name: (typeof MESH_AXES)[number]) => ({
    rank: coordinates[name],
    size: sizes[name],
  });
  return {
    sizes,
    connected,
    coordinates,
    replicas: { size: sizes.data * sizes.shard },
    axes: {
      data: axis("data"),
      shard: axis("shard"),
      tensor: axis("tensor"),
      pipeline: axis("pipeline"),
    },
  };
}

/**
 * Bytes of a rank by kind.
 *
 * @throws {ConfigError} Where the model cannot be cut so.
 */
export function planRank(
  config: Pick<RunConfig, "model" | "settings">,
  place: MeshPlace,
): ReplicaBytes {
  const { model, settings } = config;
  const { replicas, axes, connected, sizes } = place;
  const { sequences } = new BatchRamp(settings).largest;
  return planReplicaBytes(model, {
    ...rankOptions(config, place),
    ...{ shard: axes.shard, replicas: axes.data.size, order: settings.reduce },
    microBatches: Math.ceil(sequences / replicas.size / settings.microBatch),
    mail: connected && sizes.pipeline > 1 ? mailOf(plannedPipeline(config, sizes)) : undefined,
  });
}

function mailOf(pipeline: PlannedPipeline): MailPlan {
  const { ranks, chunks } = pipeline;
  return { ranks, chunks, microBatches: mostKeptBatches(pipeline) };
}

/** A mesh on paper. */
export interface PlannedMesh extends MeshNumbers {
  /** Whether the ranks' GPUs are connected. @default {false} */
  readonly connected?: boolean | undefined;
}

/** Bytes of all ranks that differ: replicas of the same shard, slice and stage are the same. */
export function planRanks(
  config: Pick<RunConfig, "model" | "settings">,
  { connected, ...sizes }: PlannedMesh,
): { readonly rank: number; readonly bytes: ReplicaBytes }[] {
  const ranks = Array.from({ length: meshSize(sizes) }, (_, rank) => rank);
  return ranks.filter((rank) => coordinatesOf(rank, sizes).data === 0)
    .map((rank) => ({ rank, bytes: planRank(config, placeOf(rank, sizes, { connected })) }));
}

/** The ranks of this machine on paper. */
export interface RanksPlan {
  /** How many ranks each axis has. */
  readonly mesh: MeshNumbers;
  /** Micro-batches of a replica in a step. */
  readonly microBatches: number;
  /** Memory of every rank that differs from the others. */
  readonly ranks: readonly { readonly rank: number; readonly bytes: ReplicaBytes }[];
  /** Bytes that the mean rank sends in a step. */
  readonly traffic: StepTraffic;
  /** Time in which stages wait for others over the time in which they compute. */
  readonly bubble: number;
}

/**
 * Plans all ranks of a run: their memory, what they send, how long stages wait.
 *
 * @throws {ConfigError} Where model or batch cannot be cut so.
 */
export function planMesh(
  config: Pick<RunConfig, "model" | "settings">,
  planned: PlannedMesh,
): RanksPlan {
  const { connected: _, ...mesh } = planned;
  const { model, settings } = config;
  const { seqLen, sequences } = new BatchRamp(settings).largest;
  const { microBatch, recompute, zero } = settings;
  const pipeline = plannedPipeline(config, mesh);
  const { chunks, stages } = pipeline;
  const microBatches = Math.ceil(sequences / (mesh.data * mesh.shard) / microBatch);
  const partitioned = streamedBy(config, placeOf(0, mesh))?.gradients ?? false;
  const takingTurns = takesTurns(microBatches, { order: settings.reduce, partitioned });
  const gradientSums = takingTurns ? microBatches : 1;
  const shape = { model, seqLen, sequences, microBatch, recompute, mesh, chunks, gradientSums };
  const costs = stageCosts(model, { seqLen, recompute });
  // A backward pass takes two products for every one of the forward pass.
  const parts = { forward: 1, backward: recompute === "full" ? 3 : 2 };
  const { bubble } = replayPipeline({ ranks: mesh.pipeline, chunks, microBatches }, {
    pass: ({ kind, stage }) => parts[kind] * costOfStage(stages[stage]!, costs),
  });
  return {
    mesh,
    microBatches,
    ranks: planRanks(config, planned),
    traffic: planStepTraffic({ ...shape, zero: mesh.shard > 1 ? zero : 0 }, floats(settings.dtype)),
    bubble,
  };
}
