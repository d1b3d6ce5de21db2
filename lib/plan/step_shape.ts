/**
 * A training step as it is planned: what is computed, and how it is shared out over ranks.
 *
 * @module
 */

import type { MeshNumbers } from "../comm/mesh.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Recompute } from "../model/training/trainable.ts";
import { balanceStages, stageCosts } from "../parallel/pipeline_stages.ts";
import type { PipelineShape } from "../parallel/pipeline_schedule.ts";

/** What the ranks of axis `shard` share: nothing, optimizer state, gradients too, weights too. */
export type ZeroStage = 0 | 1 | 2 | 3;

/** A step, and how it is shared out. */
export interface StepShape {
  /** Config of what is trained. */
  readonly model: ModelConfig;
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Sequences of a step, over all ranks. */
  readonly sequences: number;
  /** Sequences of a micro-batch on one rank. */
  readonly microBatch: number;
  /** What the backward pass computes again. */
  readonly recompute: Recompute;
  /** The ranks. */
  readonly mesh: MeshNumbers;
  /** What axis `shard` shares. */
  readonly zero: ZeroStage;
  /** Stages of each rank of the pipeline: 1 is 1F1B, more is interleaved. */
  readonly chunks: number;
  /** How often gradients are summed over ranks: in one tree perhaps after every micro-batch. @default {1} */
  readonly gradientSums?: number | undefined;
}

/** A stage of the pipeline: layers that follow one another. */
export type PlannedStage = ReturnType<typeof balanceStages>[number];

/** Micro-batches that one rank computes in a step. */
export function microBatchesOf({ sequences, microBatch, mesh }: StepShape): number {
  return Math.ceil(sequences / (mesh.data * mesh.shard) / microBatch);
}

/** How the pipeline is cut and fed. */
export function pipelineOf(shape: StepShape): PipelineShape {
  return {
    ranks: shape.mesh.pipeline,
    chunks: shape.chunks,
    microBatches: microBatchesOf(shape),
  };
}

/** The stages, cut so that the most expensive costs the least. @throws {ConfigError} Where there are too few layers. */
export function stagesOf({ model, seqLen, recompute, mesh, chunks }: StepShape): PlannedStage[] {
  const stages = mesh.pipeline * chunks;
  const costs = stageCosts(model, { seqLen, recompute });
  return balanceStages({ layers: model.numHiddenLayers, stages }, costs);
}
