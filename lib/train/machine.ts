/**
 * The one place where a run's machine is put together from a mesh: this rank's part of the model, its
 * optimizer, and the engine that computes gradients over all ranks.
 *
 * A way of sharing work is wired here and nowhere else: `openMachine` looks at the sizes of the mesh
 * and at the settings, and chooses.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { alone } from "../comm/group.ts";
import type { Communicator } from "../comm/communicator.ts";
import { Mesh, type MeshAxis } from "../comm/mesh.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { PlanOptions, Streamed, TrainingOptions } from "../model/training/trainable.ts";
import { TrainableModel } from "../model/training/trainable_model.ts";
import { MeshNorm } from "../parallel/mesh_norm.ts";
import { streamedIn } from "../parallel/zero.ts";
import { replicaCheck } from "./compared.ts";
import type { GradientEngine } from "./gradient_engine.ts";
import { connectGpus } from "./gpus.ts";
import { type HeldState, heldState } from "./held_state.ts";
import { Optimizer } from "./optimizer.ts";
import { pipelineOptions } from "./pipeline_engine.ts";
import { openReplica } from "./replica.ts";
import type { RunConfig } from "./run_config.ts";
import type { TrainSettings } from "./settings.ts";

/** The parts of a run that live in the memory of one rank's backend. */
export interface RunMachine {
  /** The ranks. */
  readonly mesh: Mesh;
  /** This rank's part of the model. */
  readonly model: TrainableModel;
  /** The optimizer of that part. */
  readonly optimizer: Optimizer;
  /** Weights and moments as checkpoints see them. */
  readonly held: HeldState;
  /** Computes gradients, together with the other ranks. */
  readonly engine: GradientEngine;
  /**
   * Compares this rank with its replicas, all together.
   *
   * @throws {CommunicationError} Names those that differ.
   */
  compare(step: number): void;
  /** Gives the memory back. */
  close(): void;
}

/** A rank of a mesh as far as its memory is planned by it: of one that is open, or on paper. */
export interface MeshPlace extends Pick<Mesh, "sizes" | "coordinates"> {
  /** The ranks whose gradients are added. */
  readonly replicas: Pick<Communicator, "size">;
  /** Place and size along each axis. */
  readonly axes: Readonly<Record<MeshAxis, Pick<Communicator, "rank" | "size">>>;
  /** Whether the ranks' GPUs are connected. @default {false} */
  readonly connected?: boolean | undefined;
}

/** The mesh of one rank that nobody else shares. */
export function meshOfOne(): Mesh {
  return new Mesh(alone(), { data: 1, shard: 1, tensor: 1, pipeline: 1 });
}

/** Sequences that a replica computes at once. */
export function microBatchOf(settings: TrainSettings, replicas: number): number {
  return Math.min(settings.microBatch, new BatchRamp(settings).largest.sequences / replicas);
}

/** How the memory of a rank is planned, where a batch is shared by so many replicas. */
export function trainingOptions(settings: TrainSettings, replicas: number = 1): TrainingOptions {
  const { largest } = new BatchRamp(settings);
  const { dtype, recompute, dropout, microBatch } = settings;
  const sequences = largest.sequences / replicas;
  return {
    maxRows: microBatchOf(settings, replicas) * largest.seqLen,
    dtype,
    recompute,
    dropout,
    packWeights: sequences > microBatch,
  };
}

/**
 * What is of one unit at a time on a rank whose shard axis has several ranks. In a pipeline gradients
 * stay where stages take turns, or add up a tied embedding.
 */
export function streamedBy(
  { model, settings }: Pick<RunConfig, "model" | "settings">,
  { replicas, axes: { shard, pipeline } }: Pick<MeshPlace, "replicas" | "axes">,
): Streamed | undefined {
  if (shard.size === 1) return undefined;
  const { sequences } = new BatchRamp(settings).largest;
  const microBatches = Math.ceil(sequences / replicas.size / settings.microBatch);
  const streamed = streamedIn(settings.zero, { order: settings.reduce, microBatches });
  const stays = pipeline.size > 1 &&
    (settings.pipelineSchedule === "interleaved" || model.tieWordEmbeddings);
  return { ...streamed, gradients: streamed.gradients && !stays };
}

/** How the memory of this rank of a mesh is planned. @throws {ConfigError} Where stages lack layers. */
export function rankOptions(
  config: Pick<RunConfig, "model" | "settings">,
  mesh: MeshPlace,
): PlanOptions {
  const planned = trainingOptions(config.settings, mesh.replicas.size);
  const streamed = streamedBy(config, mesh);
  // Packed copies would be of all weights.
  const packWeights = planned.packWeights && !streamed?.weights;
  const { parts, inFlight } = pipelineOptions(config, mesh);
  const { axes: { tensor }, connected } = mesh;
  return { ...planned, packWeights, streamed, inFlight, parts: { ...parts, tensor, connected } };
}

/** Takes the memory of a run. @throws {BackendError} Where there is too little. */
export function openMachine(
  backend: Backend,
  options: Pick<RunConfig, "model" | "settings"> & {
    readonly mesh?: Mesh | undefined;
    /** Bytes of a bucket of gradients. */
    readonly bucketBytes?: number | undefined;
    /** Whether gradients travel while others are computed. @default {true} */
    readonly overlap?: boolean | undefined;
    /** Name or path of NCCL, or "off", where ranks have GPUs. */
    readonly nccl?: string | undefined;
  },
): RunMachine {
  const { model: config, settings, mesh = meshOfOne() } = options;
  using taken = new DisposableStack();
  const gpus = connectGpus(backend, {
    ...{ mesh, library: options.nccl, endsMeet: config.tieWordEmbeddings },
    wraps: settings.pipelineSchedule === "interleaved" && settings.stagesPerRank > 1,
  });
  if (gpus !== undefined) taken.defer(() => gpus.close());
  const { sizes, coordinates, replicas, axes } = mesh;
  const place = { sizes, coordinates, replicas, axes, connected: gpus !== undefined };
  const planned = rankOptions(options, place);
  const parts = { ...planned.parts, tensor: axes.tensor, gpus: gpus?.tensor };
  const training = { ...planned, parts };
  const model = new TrainableModel(backend, { config }, training);
  taken.defer(() => model.close());
  const replica = openReplica(backend, { ...options, ...training, model, mesh, gpus });
  taken.defer(() => replica.close());
  const { parameters } = model;
  const { sharing, shards } = replica;
  const total = totalOver(mesh, model);
  const optimizer = new Optimizer(backend, { parameters, settings, sharing, total });
  taken.defer(() => optimizer.close());
  const held = heldState(model, { optimizer, shards });
  const { engine } = replica;
  const isResident = !training.streamed?.weights;
  const check = replicaCheck(backend, { mesh, parameters, optimizer, isResident });
  const compare = (step: number) => {
    engine.settle?.();
    check.check(step);
  };
  // Memory is given back when nothing is on its way any more: freeing it would wait for other ranks.
  if (gpus !== undefined) taken.defer(() => gpus.close());
  const all = taken.move();
  return { mesh, model, optimizer, held, engine, compare, close: () => all.dispose() };
}

/** Adds up square sums over the ranks that have other parts of the model; none where there are none. */
function totalOver(
  { sizes, axes: { tensor: slices, pipeline: stages } }: Mesh,
  { config, parameters }: TrainableModel,
): ((squares: Float64Array) => number) | undefined {
  if (sizes.tensor * sizes.pipeline === 1) return undefined;
  const norm = new MeshNorm({ config, parameters, slices, stages });
  return (squares) => norm.total(squares);
}
