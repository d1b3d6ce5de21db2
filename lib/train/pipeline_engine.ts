/**
 * A rank of a pipeline in a run: which stages it has, and the gradients that it computes together with
 * the other stages of its replica and with the same stages of other replicas.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { Mesh, MeshNumbers } from "../comm/mesh.ts";
import type { SequenceBatch, SequenceRange } from "../data/batches.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { ModelConfig } from "../model/config.ts";
import type { TrainingOptions } from "../model/training/trainable.ts";
import type { TrainableModel } from "../model/training/trainable_model.ts";
import type { GradientSum } from "../parallel/gradient_sum.ts";
import { microBatchesOf, type MicroBatchOptions } from "../parallel/micro_batches.ts";
import { Pipeline } from "../parallel/pipeline.ts";
import type { PipelineReport } from "../parallel/pipeline_report.ts";
import {
  balanceStages,
  inFlightOfRank,
  partsOfRank,
  type PlannedPipeline,
  stageCosts,
} from "../parallel/pipeline_stages.ts";
import type { Shards } from "../parallel/zero.ts";
import type { Counted, Evaluated, GradientEngine, GradientRequest } from "./gradient_engine.ts";
import type { TrainSettings } from "./settings.ts";

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
  const { recompute, microBatch, pipelineSchedule, stagesPerRank } = settings;
  const chunks = pipelineSchedule === "interleaved" && ranks > 1 ? stagesPerRank : 1;
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

/** What the engine of a pipeline works with. */
export interface PipelineEngineParts {
  /** This rank's stages, which tell their units to the sums. */
  readonly model: TrainableModel;
  /** The ranks of the pipeline. */
  readonly ranks: Communicator;
  /** Most rows of a micro-batch. */
  readonly maxRows: number;
  /** Adds up micro-batches and replicas, one for each stage. */
  readonly sums: readonly GradientSum[];
  /** Who computes which sequences. */
  readonly sharing: MicroBatchOptions;
  /** Who owns what, where shards do. */
  readonly shards?: Shards | undefined;
  /** What else counts what it sends. */
  readonly counted?: readonly Counted[] | undefined;
}

/** Computes gradients on a rank of a pipeline. */
export class PipelineEngine implements GradientEngine {
  /** Batches that an evaluation takes at once, so that the stages have something to do. */
  readonly batchesAtOnce: number;
  /** Those of the two ends, and of the model. */
  readonly communicators: readonly Counted[];
  readonly #parts: PipelineEngineParts;
  readonly #pipeline: Pipeline;

  /** Joins the pipeline; all its ranks do. */
  constructor(backend: Backend, parts: PipelineEngineParts) {
    const { model, ranks, maxRows, sums, shards, counted = [] } = parts;
    this.#parts = parts;
    this.batchesAtOnce = 4 * ranks.size;
    const bring = (parameter: number) => {
      if (shards === undefined) return;
      // Ends share their copies out differently, so that both have all of the gradient for the sum.
      const { grad } = model.parameters[parameter]!;
      const values = shards.ownership.gather(parameter, (own, { first }) => {
        backend.download(own, grad + 4 * first);
      });
      backend.upload(grad, values);
    };
    this.#pipeline = new Pipeline(model, { ranks, maxRows, sums, bring });
    this.communicators = [this.#pipeline.ends, ...model.passes.communicators, ...counted];
  }

  /** How long the stages have stood still since the last report; all of them call it. */
  standstill(): PipelineReport {
    return this.#pipeline.report();
  }

  /** This replica's micro-batches. */
  share(sequences: number): readonly SequenceRange[] {
    return microBatchesOf(sequences, this.#parts.sharing);
  }

  /** Weights that other ranks own are stale. */
  stepped(): void {
    this.#parts.shards?.weights.stepped();
  }

  /** Brings the weights that other ranks own. */
  settle(): void {
    this.#parts.shards?.weights.settle();
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
  evaluate(batches: readonly SequenceBatch[]): Promise<Evaluated[]> {
    return this.#pipeline.evaluate(batches, { zLoss: 0 });
  }
}

/** The stage, of the rank's, that each unit belongs to: the embedding to the first, the head to the last. */
export function stagesOfUnits({ passes: { stages } }: TrainableModel): number[] {
  const ofLayers = stages.flatMap(({ layers }, stage) => new Array<number>(layers).fill(stage));
  return [0, ...ofLayers, stages.length - 1];
}
