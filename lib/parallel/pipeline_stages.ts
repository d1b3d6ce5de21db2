/**
 * Which layers each stage of a pipeline has: as many as make its time that of the others, with the
 * embedding of the first stage and the head of the last counted.
 *
 * Llama 3 takes a layer from the first stage and one from the last (126 layers on 16 ranks) for the
 * embedding and the head (arXiv:2407.21783, section 3.3.2); here that comes out of the costs.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import type { ModelConfig } from "../model/config.ts";
import { countParameters } from "../model/parameters.ts";
import type { StageParts } from "../model/training/parts.ts";
import type { InFlight, Recompute } from "../model/training/trainable.ts";
import { mostInFlight, mostMicroBatches } from "./pipeline_replay.ts";
import { pipelinePasses, type PipelineShape, stagesOfRank } from "./pipeline_schedule.ts";

/** What the pieces of a model cost, in any one unit. */
export interface StageCosts {
  /** One layer. */
  readonly layer: number;
  /** The embedding. */
  readonly embedding: number;
  /** Final norm, head and loss. */
  readonly head: number;
}

/**
 * Multiply-adds per token of a training step, forward and backward: 3 (N_block + H E T) a layer, scores
 * and their use halved by causality; 3 V D the head; 2 D the embedding, which looks up and adds.
 * `full` recomputation takes a layer's forward once more.
 */
export function stageCosts(
  config: ModelConfig,
  options: { readonly seqLen: number; readonly recompute?: Recompute | undefined },
): StageCosts {
  const { numAttentionHeads: H, headDim: E, vocabSize: V, hiddenSize: D } = config;
  const forward = countParameters(config).block + H * E * options.seqLen;
  const passes = options.recompute === "full" ? 4 : 3;
  return { layer: passes * forward, embedding: 2 * D, head: 3 * V * D };
}

/** Cost of a stage. */
export function costOfStage(stage: StageParts, costs: StageCosts): number {
  return stage.layers * costs.layer + Number(stage.embedding) * costs.embedding +
    Number(stage.head) * costs.head;
}

/**
 * Cuts layers into stages so that the most expensive one costs the least that is possible. Where two
 * stages are equal the later one takes a layer more: 1F1B keeps fewer micro-batches there. The first
 * stage and the last may have no layer, those between have one at least.
 *
 * @throws {ConfigError} Where there are fewer layers than that.
 */
export function balanceStages(
  { layers, stages }: { readonly layers: number; readonly stages: number },
  costs: StageCosts,
): StageParts[] {
  const between = Math.max(0, stages - 2);
  if (layers < between) {
    throw new ConfigError(
      `Cannot cut ${layers} layers into ${stages} stages: every stage between the first and the ` +
        `last needs one`,
      {
        hint:
          "take fewer ranks for the pipeline, fewer --stages-per-rank, or --pipeline-schedule 1f1b",
      },
    );
  }
  const isEnd = (stage: number) => stage === 0 || stage === stages - 1;
  const counts = Array.from({ length: stages }, (_, stage) => isEnd(stage) ? 0 : 1);
  const ends = (stage: number) => ({ embedding: stage === 0, head: stage === stages - 1 });
  const loadWith = (stage: number, count: number) =>
    costOfStage({ firstLayer: 0, layers: count, ...ends(stage) }, costs);
  for (let left = layers - between; left > 0; left--) {
    let best = stages - 1;
    for (let stage = stages - 2; stage >= 0; stage--) {
      if (loadWith(stage, counts[stage]! + 1) < loadWith(best, counts[best]! + 1)) best = stage;
    }
    counts[best]!++;
  }
  let firstLayer = 0;
  return counts.map((count, stage) => {
    const part = { firstLayer, layers: count, ...ends(stage) };
    firstLayer += count;
    return part;
  });
}

/** A pipeline whose memory is planned. */
export interface PlannedPipeline extends Pick<PipelineShape, "ranks" | "chunks"> {
  /** All stages, as {@linkcode balanceStages} cuts them. */
  readonly stages: readonly StageParts[];
  /** Micro-batches of a step: every number of them that a step of the run has. */
  readonly microBatches: readonly number[];
}

/** The stage, of the rank's, that each unit belongs to: the embedding to the first, the head to the last. */
export function stagesOfUnits(stages: readonly Pick<StageParts, "layers">[]): number[] {
  const ofLayers = stages.flatMap(({ layers }, stage) => new Array<number>(layers).fill(stage));
  return [0, ...ofLayers, stages.length - 1];
}

/** The stages that a rank has. */
export function partsOfRank(rank: number, pipeline: PlannedPipeline): StageParts[] {
  return stagesOfRank(rank, pipeline).map((stage) => pipeline.stages[stage]!);
}

/** What a rank keeps of micro-batches that are on their way, the most over the run. */
export function inFlightOfRank(rank: number, pipeline: PlannedPipeline): InFlight {
  const { ranks, chunks, stages } = pipeline;
  const most = { layers: 0, heads: 0, batches: 0 };
  for (const microBatches of new Set(pipeline.microBatches)) {
    const passes = pipelinePasses(rank, { ranks, chunks, microBatches });
    const layers = mostInFlight(passes, ({ stage }) => stages[stage]!.layers);
    const heads = mostInFlight(passes, ({ stage }) => Number(stages[stage]!.head));
    most.layers = Math.max(most.layers, layers);
    most.heads = Math.max(most.heads, heads);
    most.batches = Math.max(most.batches, mostMicroBatches(passes));
  }
  return most;
}
