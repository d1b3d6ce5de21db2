/** What a rank of the test's pipeline does: steps over micro-batches of odd sizes. */

import type { Backend, BackendName } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import type { TrafficCount } from "../../lib/comm/traffic.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { planTrainingBytes } from "../../lib/model/training/memory.ts";
import type { Recompute, TrainBatch } from "../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";
import { Pipeline } from "../../lib/parallel/pipeline.ts";
import type { PipelineReport, PipelineTimes } from "../../lib/parallel/pipeline_report.ts";
import { balanceStages, inFlightOfRank, partsOfRank } from "../../lib/parallel/pipeline_stages.ts";
import { countedBackend } from "../counted_backend.ts";
import { type GoldenModel, goldenSource } from "../model/golden_models.ts";

/** How the ranks work. */
export interface PipelineInput {
  /** Their backend. */
  readonly backend: BackendName;
  /** A golden model, or a small one of five layers with the embedding tied or not. */
  readonly model: GoldenModel | "five" | "five tied";
  /** Stages of each rank. */
  readonly chunks: number;
  /** Micro-batches of a step. */
  readonly microBatches: number;
  /** Share that is dropped. */
  readonly dropout?: number;
  /** What is computed again. */
  readonly recompute?: Recompute;
}

/** What a rank has in the end. */
export interface PipelineRankResult {
  /** Gradients of the second step by name, a copy's under "copy of". */
  readonly gradients: Readonly<Record<string, Float32Array>>;
  /** Losses of the micro-batches of the second step. */
  readonly losses: readonly { readonly ce: number; readonly z: number; readonly weight: number }[];
  /** Losses of an evaluation of the same batches. */
  readonly evaluated: readonly number[];
  /** Layers of each of its stages. */
  readonly layers: readonly number[];
  /** Bytes that the model took of the backend, and that were planned. */
  readonly bytes: { readonly taken: number; readonly planned: number };
  /** Messages between stages in the second step. */
  readonly sent: Pick<TrafficCount, "bytes" | "messages">;
  /** Where the time of both steps went. */
  readonly times: PipelineTimes;
  /** What that says of the pipeline. */
  readonly report: PipelineReport;
}

/** A model of five layers. */
export function fiveLayers(tied: boolean): ModelConfig {
  const { config } = presetOf("debug");
  const sizes = { hiddenSize: 32, intermediateSize: 48, vocabSize: 71, numHiddenLayers: 5 };
  const heads = { numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 8 };
  return { ...config, ...sizes, ...heads, tieWordEmbeddings: tied };
}

/** Micro-batches that differ in sequences, documents and weights; the third has no targets. */
export function oddBatches(vocabSize: number, count: number): TrainBatch[] {
  let seed = 7;
  const draw = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  return Array.from({ length: count }, (_, index) => {
    const [sequences, length] = [1 + index % 2, 12];
    const rows = sequences * length;
    const ids = () => Int32Array.from({ length: rows }, () => draw(vocabSize));
    const starts = new Int32Array(rows);
    for (let row = 0; row < rows; row++) {
      const begins = row % length === 0 || draw(5) === 0;
      starts[row] = begins ? row : starts[row - 1]!;
    }
    const targets = ids().map((id) => draw(4) === 0 ? -100 : id);
    return {
      ...{ sequences, length, starts, tokens: ids() },
      targets: index === 2 ? targets.fill(-100) : targets,
      weights: Float32Array.from({ length: rows }, () => 0.5 + draw(100) / 100),
      positions: starts.map((start, row) => row - start),
    };
  });
}

const MOST_ROWS = 24;

async function openModel(world: Communicator, backend: Backend, input: PipelineInput) {
  const golden = input.model.startsWith("five")
    ? undefined
    : await goldenSource(input.model as GoldenModel);
  const config = golden?.config ?? fiveLayers(input.model === "five tied");
  const { chunks, dropout, recompute, microBatches } = input;
  const cut = { layers: config.numHiddenLayers, stages: world.size * chunks };
  const stages = balanceStages(cut, { layer: 1, embedding: 0.1, head: 0.5 });
  const pipeline = { ranks: world.size, chunks, stages, microBatches: [microBatches] };
  const options = {
    ...{ maxRows: MOST_ROWS, dropout, recompute },
    packWeights: true,
    parts: { stages: partsOfRank(world.rank, pipeline) },
    inFlight: inFlightOfRank(world.rank, pipeline),
  };
  const { total, moments } = planTrainingBytes(config, options);
  const { backend: counted, taken } = countedBackend(backend);
  const model = new TrainableModel(counted, golden ?? { config }, options);
  if (golden === undefined) model.initialize(5);
  else await model.load(golden);
  return { model, bytes: { taken: taken(), planned: total - moments } };
}

/** Two steps, of which the second is told, and an evaluation. */
export async function run(world: Communicator, input: PipelineInput): Promise<PipelineRankResult> {
  const backend = await openBackend({ backend: input.backend, threads: 1 });
  await backend.ready();
  try {
    const { model, bytes } = await openModel(world, backend, input);
    const batches = oddBatches(model.config.vocabSize, input.microBatches);
    const dropout = input.dropout === undefined ? undefined : { seed: 3, step: 4, firstRow: 24 };
    const pipeline = new Pipeline(model, { ranks: world, maxRows: MOST_ROWS });
    const step = { weightScale: 1 / 50, zLoss: 0.01, dropout };
    await pipeline.step(batches, { ...step, weightScale: 3 });
    const before = world.traffic().send;
    const losses = await pipeline.step(batches, step);
    const after = world.traffic().send;
    const evaluated = await pipeline.evaluate(batches, { zLoss: 0 });
    return {
      gradients: Object.fromEntries(model.parameters.map((parameter) => {
        const { copy, spec } = parameter;
        return [copy > 0 ? `copy of ${spec.name}` : spec.name, model.gradient(parameter)];
      })),
      losses,
      evaluated: evaluated.map(({ ce }) => ce),
      layers: model.passes.stages.map(({ layers }) => layers),
      bytes,
      sent: {
        bytes: (after?.bytes ?? 0) - (before?.bytes ?? 0),
        messages: (after?.messages ?? 0) - (before?.messages ?? 0),
      },
      times: pipeline.times,
      report: pipeline.report(),
    };
  } finally {
    backend.close();
  }
}
