/**
 * A rank of a pipeline in a run: which stages it has, and the gradients that it computes together with
 * the other stages of its replica and with the same stages of other replicas.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { Mesh, MeshNumbers } from "../comm/mesh.ts";
import type { SequenceBatch, SequenceRange } from "../data/batches.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { ModelConfig } from "../model/config.ts";
import type { TrainingOptions } from "../model/training/trainable.ts";
import type { TrainableModel } from "../model/training/trainable_model.ts";
import { GradientReducer } from "../parallel/data.ts";
import { GradientSum } from "../parallel/gradient_sum.ts";
import { microBatchesOf, type MicroBatchOptions } from "../parallel/micro_batches.ts";
import { Pipeline, type PipelineTimes } from "../parallel/pipeline.ts";
import {
  balanceStages,
  inFlightOfRank,
  partsOfRank,
  type PlannedPipeline,
  stageCosts,
} from "../parallel/pipeline_stages.ts";
import type { GradientEngine, GradientRequest } from "./gradient_engine.ts";
import type { TrainSettings } from "./settings.ts";

/** Stages of each rank of an interleaved pipeline: Megatron-LM's least. */
const INTERLEAVED = 2;

/**
 * The pipeline that settings and a mesh ask for.
 *
 * @throws {ConfigError} Where the model has too few layers for its stages.
 */
export function plannedPipeline(
  { model, settings }: { readonly model: ModelConfig; readonly settings: TrainSettings },
  { pipeline: ranks, data, shard }: MeshNumbers,
): PlannedPipeline {
  const ramp = new BatchRamp(settings);
  const { recompute, microBatch, pipelineSchedule } = settings;
  const chunks = pipelineSchedule === "interleaved" && ranks > 1 ? INTERLEAVED : 1;
  const cut = { layers: model.numHiddenLayers, stages: ranks * chunks };
  const costs = stageCosts(model, { seqLen: ramp.largest.seqLen, recompute });
  const microBatches = ramp.sizes.map(({ sequences }) =>
    Math.ceil(sequences / (data * shard) / microBatch)
  );
  return { ranks, chunks, stages: balanceStages(cut, costs), microBatches };
}

/** What a rank of a mesh has of a pipeline, and how much is on its way there. */
export function pipelineOptions(
  config: { readonly model: ModelConfig; readonly settings: TrainSettings },
  { sizes, coordinates }: Pick<Mesh, "sizes" | "coordinates">,
): Pick<TrainingOptions, "parts" | "inFlight"> {
  if (sizes.pipeline === 1) return {};
  const pipeline = plannedPipeline(config, sizes);
  const rank = coordinates.pipeline;
  return {
    parts: { stages: partsOfRank(rank, pipeline) },
    inFlight: inFlightOfRank(rank, pipeline),
  };
}

/** What the engine of a pipeline is opened with. */
export interface PipelineEngineOptions {
  /** This rank's stages. */
  readonly model: TrainableModel;
  /** The ranks. */
  readonly mesh: Pick<Mesh, "replicas" | "axes">;
  /** Settings of the run. */
  readonly settings: Pick<TrainSettings, "reduce" | "microBatch">;
  /** Most rows of a micro-batch. */
  readonly maxRows: number;
  /** Bytes of a bucket of gradients. */
  readonly bucketBytes?: number | undefined;
}

/** Computes gradients on a rank of a pipeline. */
export class PipelineEngine implements GradientEngine {
  /** Batches that an evaluation takes at once, so that the stages have something to do. */
  readonly batchesAtOnce: number;
  readonly #pipeline: Pipeline;
  readonly #sums: readonly GradientSum[];
  readonly #sharing: MicroBatchOptions;

  /** Joins the pipeline; all its ranks do. */
  constructor(backend: Backend, options: PipelineEngineOptions) {
    const { model, mesh: { replicas, axes: { pipeline: ranks } }, settings, maxRows } = options;
    const { reduce: order = "ranks", microBatch } = settings;
    this.batchesAtOnce = 4 * ranks.size;
    this.#sharing = { microBatch, replicas, order, partitioned: false };
    this.#sums = model.passes.stages.map((_, stage) => stageSum(backend, { ...options, stage }));
    const stageOf = stagesOfUnits(model);
    model.observer = {
      leave: (unit, pass) => {
        if (pass === "backward") this.#sums[stageOf[unit]!]!.left(unit);
      },
    };
    this.#pipeline = new Pipeline(model, { ranks, maxRows, sums: this.#sums });
  }

  /** Where the time of all steps so far went. */
  get times(): PipelineTimes {
    return this.#pipeline.times;
  }

  /** This replica's micro-batches. */
  share(sequences: number): readonly SequenceRange[] {
    return microBatchesOf(sequences, this.#sharing);
  }

  /** Computes a step's gradients, and adds them over the replicas while others are computed. */
  async gradients(
    batches: readonly SequenceBatch[],
    request: GradientRequest,
  ): Promise<Float64Array<ArrayBuffer>> {
    const losses = await this.#pipeline.step(batches, request);
    return Float64Array.from(losses, ({ ce, z }) => ce + z);
  }

  /** Evaluates batches. */
  evaluate(batches: readonly SequenceBatch[]): Promise<{ ce: number; count: number }[]> {
    return this.#pipeline.evaluate(batches, { zLoss: 0 });
  }

  /** Gives the memory of sums back. */
  close(): void {
    for (const sum of this.#sums) sum.close();
  }
}

/** The stage, of the rank's, that each unit belongs to: the embedding to the first, the head to the last. */
function stagesOfUnits({ passes: { stages } }: TrainableModel): number[] {
  const ofLayers = stages.flatMap(({ layers }, stage) => new Array<number>(layers).fill(stage));
  return [0, ...ofLayers, stages.length - 1];
}

/** Adds up the gradients of one stage, over its micro-batches and over the replicas. */
function stageSum(
  backend: Backend,
  options: PipelineEngineOptions & { readonly stage: number },
): GradientSum {
  const { model, mesh: { replicas }, settings: { reduce: order = "ranks" }, stage } = options;
  const stageOf = stagesOfUnits(model);
  const indices = model.units.flatMap((unit, at) => stageOf[at] === stage ? unit : []);
  const parameters = indices.map((index) => model.parameters[index]!);
  const places = new Map(indices.map((index, place) => [index, place]));
  const units = model.units.map((unit, at) =>
    stageOf[at] === stage ? unit.map((index) => places.get(index)!) : []
  );
  const { bucketBytes } = options;
  const reducer = new GradientReducer(backend, { parameters, replicas, bucketBytes });
  return new GradientSum(backend, { parameters, units, reducer, order });
}
