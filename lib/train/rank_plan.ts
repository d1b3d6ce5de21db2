/**
 * The memory of every rank of a run on paper, from settings and mesh alone: what `openMachine` takes.
 *
 * @module
 */

import { coordinatesOf, MESH_AXES, type MeshNumbers, meshSize } from "../comm/mesh.ts";
import { BatchRamp } from "../data/ramp.ts";
import { planTrainingBytes } from "../model/training/memory.ts";
import { heldElements } from "../model/training/parts.ts";
import { planArenas } from "../model/training/slots.ts";
import type { TrainingBytes } from "../model/training/trainable.ts";
import { bucketsOf } from "../parallel/buckets.ts";
import { stagingElements } from "../parallel/data.ts";
import { partitionOf, piecesOf } from "../parallel/partition.ts";
import { replayPipeline } from "../parallel/pipeline_replay.ts";
import { costOfStage, stageCosts } from "../parallel/pipeline_stages.ts";
import { pieceBytes } from "../parallel/zero.ts";
import { FLOATS, planStepTraffic, type StepTraffic } from "../plan/step_traffic.ts";
import { type MeshPlace, rankOptions } from "./machine.ts";
import { plannedPipeline } from "./pipeline_engine.ts";
import type { RunConfig } from "./run_config.ts";

/** Bytes of a rank by kind. */
export interface RankTrainingBytes extends TrainingBytes {
  /** Sums of gradients that wait in the tree of `--reduce tree`. */
  readonly tree: number;
  /** Gradients on their way between replicas, outside the backend. */
  readonly buckets: number;
}

/** A rank of a mesh that nobody has opened yet. */
export function placeOf(rank: number, sizes: MeshNumbers): MeshPlace {
  const coordinates = coordinatesOf(rank, sizes);
  const axis = (name: (typeof MESH_AXES)[number]) => ({
    rank: coordinates[name],
    size: sizes[name],
  });
  return {
    sizes,
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

/** Leaves of the tree that wait at once at most: the bits of the number of micro-batches before the last. */
function waitingSums(leaves: number): number {
  return leaves <= 1 ? 0 : Math.floor(Math.log2(leaves - 1)) + 1;
}

/**
 * Bytes of a rank by kind.
 *
 * @throws {ConfigError} Where the model cannot be cut so.
 */
export function planRank(
  config: Pick<RunConfig, "model" | "settings">,
  place: MeshPlace,
): RankTrainingBytes {
  const { model, settings } = config;
  const options = rankOptions(config, place);
  const { total: _, ...planned } = planTrainingBytes(model, options);
  const { whole, units } = planArenas(model, options);
  const parameters = whole.held.map((held) => ({ count: heldElements(held) }));
  const { shard } = place.axes;
  const partition = partitionOf(parameters, { units, ranks: shard.size });
  const own = shard.size === 1 ? 0 : pieceBytes(piecesOf(partition, shard.rank));
  const { streamed } = options;
  const replicas = place.replicas.size;
  const { sequences } = new BatchRamp(settings).largest;
  const leaves = Math.ceil(sequences / replicas / settings.microBatch);
  const isTree = settings.reduce === "tree" && !streamed?.gradients;
  const staging = replicas === 1 ? [] : stagingElements(bucketsOf(parameters));
  const bytes = {
    ...planned,
    weights: planned.weights + (streamed?.weights ? own : 0),
    gradients: planned.gradients + (streamed?.gradients ? own : 0),
    moments: shard.size === 1 ? planned.moments : 2 * own,
    tree: isTree ? waitingSums(leaves) * planned.gradients : 0,
    buckets: 4 * staging.reduce((sum, elements) => sum + elements, 0),
  };
  return { ...bytes, total: Object.values(bytes).reduce((sum, kind) => sum + kind, 0) };
}

/** Bytes of all ranks that differ: replicas of the same shard, slice and stage are the same. */
export function planRanks(
  config: Pick<RunConfig, "model" | "settings">,
  sizes: MeshNumbers,
): { readonly rank: number; readonly bytes: RankTrainingBytes }[] {
  const ranks = Array.from({ length: meshSize(sizes) }, (_, rank) => rank);
  return ranks.filter((rank) => coordinatesOf(rank, sizes).data === 0)
    .map((rank) => ({ rank, bytes: planRank(config, placeOf(rank, sizes)) }));
}

/** The ranks of this machine on paper. */
export interface RanksPlan {
  /** The mesh. */
  readonly mesh: MeshNumbers;
  /** Micro-batches of a replica in a step. */
  readonly microBatches: number;
  /** Memory of every rank that differs from the others. */
  readonly ranks: readonly { readonly rank: number; readonly bytes: RankTrainingBytes }[];
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
  mesh: MeshNumbers,
): RanksPlan {
  const { model, settings } = config;
  const { seqLen, sequences } = new BatchRamp(settings).largest;
  const { microBatch, recompute, zero } = settings;
  const pipeline = plannedPipeline(config, mesh);
  const { chunks, stages } = pipeline;
  const microBatches = Math.ceil(sequences / (mesh.data * mesh.shard) / microBatch);
  const shape = { model, seqLen, sequences, microBatch, recompute, mesh, chunks };
  const costs = stageCosts(model, { seqLen, recompute });
  // A backward pass takes two products for every one of the forward pass.
  const parts = { forward: 1, backward: recompute === "full" ? 3 : 2 };
  const { bubble } = replayPipeline({ ranks: mesh.pipeline, chunks, microBatches }, {
    pass: ({ kind, stage }) => parts[kind] * costOfStage(stages[stage]!, costs),
  });
  return {
    mesh,
    microBatches,
    ranks: planRanks(config, mesh),
    traffic: planStepTraffic({ ...shape, zero: mesh.shard > 1 ? zero : 0 }, FLOATS),
    bubble,
  };
}
