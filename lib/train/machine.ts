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
import { ConfigError } from "../base/errors.ts";
import { alone } from "../comm/group.ts";
import { Mesh } from "../comm/mesh.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { TrainingOptions } from "../model/training/trainable.ts";
import { TrainableModel } from "../model/training/trainable_model.ts";
import { GradientReducer } from "../parallel/data.ts";
import { GradientSum } from "../parallel/gradient_sum.ts";
import { MeshNorm } from "../parallel/mesh_norm.ts";
import { type GradientEngine, WholeModelEngine } from "./gradient_engine.ts";
import { type HeldState, heldState } from "./held_state.ts";
import { Optimizer } from "./optimizer.ts";
import { PipelineEngine, pipelineOptions } from "./pipeline_engine.ts";
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
  /** Gives the memory back. */
  close(): void;
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

/** How the memory of this rank of a mesh is planned. @throws {ConfigError} Where stages lack layers. */
export function rankOptions(
  { model, settings }: Pick<RunConfig, "model" | "settings">,
  mesh: Mesh,
): TrainingOptions {
  return {
    ...trainingOptions(settings, mesh.replicas.size),
    ...pipelineOptions({ model, settings }, mesh),
  };
}

/** What replicas of a whole model are put together from. */
export interface ReplicaParts {
  /** The model. */
  readonly model: TrainableModel;
  /** The ranks. */
  readonly mesh: Pick<Mesh, "replicas">;
  /** Settings of the run. */
  readonly settings: Pick<TrainSettings, "reduce" | "microBatch">;
  /** Bytes of a bucket of gradients. */
  readonly bucketBytes?: number | undefined;
}

/** An engine that gives back what it took. */
export interface OwnedEngine {
  /** The engine. */
  readonly engine: GradientEngine;
  /** Gives its memory back. */
  close(): void;
}

/** Replicas that have the whole model each: their gradients are added up while they are computed. */
export function replicaEngine(backend: Backend, parts: ReplicaParts): OwnedEngine {
  const { model, mesh: { replicas }, settings, bucketBytes } = parts;
  const { reduce: order = "ranks", microBatch } = settings;
  const { parameters, units } = model;
  const reducer = new GradientReducer(backend, { parameters, replicas, bucketBytes });
  const sum = new GradientSum(backend, { parameters, units, reducer, order });
  model.observer = {
    leave: (unit, pass) => {
      if (pass === "backward") sum.left(unit);
    },
  };
  const sharing = { microBatch, replicas, order, partitioned: false };
  return { engine: new WholeModelEngine({ model, sum, sharing }), close: () => sum.close() };
}

/** Takes the memory of a run. @throws {BackendError} Where there is too little. */
export function openMachine(
  backend: Backend,
  options: Pick<RunConfig, "model" | "settings"> & { readonly mesh?: Mesh | undefined },
): RunMachine {
  const { model: config, settings, mesh = meshOfOne() } = options;
  using taken = new DisposableStack();
  const { sizes: { tensor } } = mesh;
  if (tensor > 1) throw new ConfigError(`Cannot train with tensor=${tensor}: 1 was wanted`);
  const training = rankOptions(options, mesh);
  const model = new TrainableModel(backend, { config }, training);
  taken.defer(() => model.close());
  const total = totalOver(mesh, model);
  const optimizer = new Optimizer(backend, { parameters: model.parameters, settings, total });
  taken.defer(() => optimizer.close());
  const { engine, close } = openEngine(backend, { model, mesh, settings, ...training });
  taken.defer(close);
  const all = taken.move();
  const held = heldState(model, optimizer);
  return { mesh, model, optimizer, held, engine, close: () => all.dispose() };
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

/** The engine that fits a mesh. */
function openEngine(
  backend: Backend,
  options: ReplicaParts & { readonly mesh: Mesh; readonly maxRows: number },
): OwnedEngine {
  if (options.mesh.sizes.pipeline === 1) return replicaEngine(backend, options);
  const engine = new PipelineEngine(backend, options);
  return { engine, close: () => engine.close() };
}
