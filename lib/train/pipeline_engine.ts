/**
 * A rank of a pipeline in a run: which stages it has, and the gradients that it computes together with
 * the other stages of its replica and with the same stages of other replicas.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { DeviceMessage } from "../backend/device_link.ts";
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
import type { ConnectedGpus } from "./gpus.ts";
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

/** Batches of an evaluation for each rank, so that the stages have something to do. */
const BATCHES_PER_RANK = 4;

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
  /** The ranks' GPUs, where they are connected. */
  readonly gpus?: ConnectedGpus | undefined;
}

/** Computes gradients on a rank of a pipeline. */
export class PipelineEngine implements GradientEngine {
  /** Batches that an evaluation takes at once, so that the stages have something to do. */
  readonly batchesAtOnce: number;
  /** Those of the two ends, and of the model. */
  readonly communicators: readonly Counted[];
  /** How long the stages have stood still since the last report; all of them call it. */
  readonly standstill: (() => PipelineReport) | undefined;
  readonly #parts: PipelineEngineParts;
  readonly #pipeline: Pipeline;

  /** Joins the pipeline; all its ranks do. */
  constructor(backend: Backend, parts: PipelineEngineParts) {
    const { model, ranks, maxRows, sums, shards, gpus } = parts;
    this.#parts = parts;
    this.batchesAtOnce = BATCHES_PER_RANK * ranks.size;
    const bring = shards &&
      ((parameter: number) => bringGradient(backend, { ...parts, parameter }));
    const pipeline = new Pipeline(model, { ranks, maxRows, sums, bring, gpus: gpus?.pipeline });
    this.#pipeline = pipeline;
    this.communicators = [
      ...[pipeline.ends, ...model.passes.communicators, ...gpus?.counted ?? []],
    ];
    // What stages wait for on their GPUs is not measured.
    this.standstill = gpus === undefined ? () => pipeline.report() : undefined;
  }

  /** Gives back what the model has not planned. */
  close(): void {
    this.#pipeline.close();
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

/**
 * Brings all of a gradient to where it is: the ends of a pipeline share their copies of a tied embedding out
 * differently, so that both have all of it for the sum.
 */
function bringGradient(
  backend: Backend,
  { model, shards, gpus, parameter }: PipelineEngineParts & { readonly parameter: number },
): void {
  const { ownership: { partition, ranks }, ownership } = shards!;
  const { grad } = model.parameters[parameter]!;
  if (gpus?.shard === undefined) {
    const values = ownership.gather(parameter, (own, { first }) => {
      backend.download(own, grad + 4 * first);
    });
    return backend.upload(grad, values);
  }
  const piecesOf = (rank: number) =>
    partition.pieces.flatMap((owners) => owners[rank]!)
      .filter((piece) => piece.parameter === parameter)
      .map(({ first, count }) => ({ address: grad + 4 * first, bytes: 4 * count }));
  const messages = Array.from(
    { length: ranks.size },
    (_, peer): DeviceMessage[] =>
      peer === ranks.rank ? [] : [
        ...piecesOf(ranks.rank).map((piece) => ({ way: "send", peer, ...piece }) as const),
        ...piecesOf(peer).map((piece) => ({ way: "receive", peer, ...piece }) as const),
      ],
  );
  gpus.shard.exchange(messages.flat()).join();
}

/**
 * The most micro-batches whose losses a rank keeps at once: those of a step, or of an evaluation, which
 * takes {@linkcode PipelineEngine.batchesAtOnce}.
 */
export function mostKeptBatches({ ranks, microBatches }: PlannedPipeline): number {
  return Math.max(BATCHES_PER_RANK * ranks, ...microBatches);
}
