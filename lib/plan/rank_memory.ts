/**
 * Memory of a rank of an accelerator by kind: bf16 values, f32 masters, gradients and moments, each as far
 * as ZeRO leaves it here, and activations of as many micro-batches as the pipeline has under way.
 *
 * Ranks of this machine's own backends are planned by `planTrainingBytes`, which knows every buffer.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import { workingBytes } from "../model/training/block_run.ts";
import { trainingHeadBytes } from "../model/training/head.ts";
import { recordBytes, type RecordName, splitRecord } from "../model/training/kept.ts";
import { keyValueCopies, partConfig } from "../model/training/parts.ts";
import { mostOwnRows } from "../model/training/row_exchange.ts";
import type { TrainingBytes } from "../model/training/trainable.ts";
import { mostInFlight } from "../parallel/pipeline_replay.ts";
import { pipelinePasses } from "../parallel/pipeline_schedule.ts";
import { pieceParameters } from "./piece_parameters.ts";
import { GATHERED_AHEAD } from "./rank_replay.ts";
import { microBatchesOf, type PlannedStage, stagesOf, type StepShape } from "./step_shape.ts";

/** Bytes of a rank by kind: those of training, and what travels. */
export interface RankBytes extends Omit<TrainingBytes, "packed" | "exchange"> {
  /** Weights gathered for a moment, and gradients on their way. */
  readonly travelling: number;
}

/** bf16 values where the CPU has f32. */
const HALF = 1 / 2;
/** Layers whose gathered weights are there at once: the one that computes, and those ahead. */
const GATHERED_LAYERS = 1 + GATHERED_AHEAD;

/** Bytes of what a block keeps and of what all blocks share, for one micro-batch. */
function blockBytes(shape: StepShape, part: ModelConfig): { kept: number; shared: number } {
  const { microBatch, seqLen, mesh: { tensor }, recompute } = shape;
  const rows = microBatch * seqLen;
  const record = recordBytes(part, { rows, ownRows: mostOwnRows(rows, tensor) });
  const { kept, shared } = splitRecord(record, recompute);
  const sum = (bytes: Partial<Record<RecordName, number>>) =>
    HALF * Object.values(bytes).reduce((total, one) => total + one, 0);
  return { kept: sum(kept), shared: sum(shared) };
}

function parametersOfRank(shape: StepShape, stages: readonly PlannedStage[]): number {
  return stages.reduce((sum, { layers, embedding, head }) => {
    const ends = (embedding ? pieceParameters("embedding", shape) : 0) +
      (head ? pieceParameters("head", shape) : 0);
    return sum + ends + layers * pieceParameters("block", shape);
  }, 0);
}

/** Adds up. */
function total(bytes: Readonly<Record<string, number>>): number {
  return Object.values(bytes).reduce((sum, one) => sum + one, 0);
}

/** Memory of ranks of many steps: what they have in common is found once. */
export class RankMemory {
  readonly #stages: Map<string, readonly PlannedStage[]> = new Map();
  readonly #inFlight: Map<string, readonly number[]> = new Map();

  /**
   * Bytes of the rank of the pipeline that needs the most.
   *
   * @throws {ConfigError} Where the model cannot be cut so.
   */
  plan(shape: StepShape): RankBytes {
    const inFlight = this.#layersInFlight(shape);
    const stages = this.#stagesOf(shape);
    const ranks = inFlight.map((layers, rank) => {
      const own = stages.filter((_, stage) => stage % inFlight.length === rank);
      return { layers, own, parameters: parametersOfRank(shape, own) };
    });
    const activations = activationBytes(shape);
    return ranks.map((rank) => bytesOfRank(shape, { ...rank, ...activations }))
      .reduce((most, rank) => rank.total > most.total ? rank : most);
  }

  #stagesOf(shape: StepShape): readonly PlannedStage[] {
    const key = `${shape.mesh.pipeline} ${shape.chunks} ${shape.recompute}`;
    const known = this.#stages.get(key) ?? stagesOf(shape);
    this.#stages.set(key, known);
    return known;
  }

  /** Layers times micro-batches whose activations each rank of the pipeline has at once, at most. */
  #layersInFlight(shape: StepShape): readonly number[] {
    const { mesh: { pipeline: ranks }, chunks, recompute } = shape;
    // What is under way at once is known after two rounds; more micro-batches only repeat it.
    const microBatches = Math.min(microBatchesOf(shape), 4 * ranks + 1);
    const key = `${ranks} ${chunks} ${microBatches} ${recompute}`;
    const known = this.#inFlight.get(key);
    if (known !== undefined) return known;
    const stages = this.#stagesOf(shape);
    const found = Array.from({ length: ranks }, (_, rank) => {
      const passes = pipelinePasses(rank, { ranks, chunks, microBatches });
      return mostInFlight(passes, ({ stage }) => stages[stage]!.layers);
    });
    this.#inFlight.set(key, found);
    return found;
  }
}

/** Bytes of activations, of one micro-batch. */
interface ActivationBytes {
  /** What a layer keeps. */
  readonly kept: number;
  /** What all layers work in. */
  readonly working: number;
  /** What the head works in. */
  readonly head: number;
}

function activationBytes(shape: StepShape): ActivationBytes {
  const { model, mesh: { tensor }, microBatch, seqLen } = shape;
  const parts = { tensor: { rank: 0, size: tensor } };
  const part = partConfig(model, parts);
  const rows = microBatch * seqLen;
  const { kept, shared } = blockBytes(shape, part);
  const work = workingBytes(part, {
    ...{ rows, ownRows: mostOwnRows(rows, tensor), drops: false, recompute: shape.recompute },
    ...{ ranks: tensor, copies: keyValueCopies(model, parts), halved: false, connected: true },
  });
  return {
    kept,
    working: shared + HALF * total(work),
    head: HALF * total(trainingHeadBytes(part, rows)),
  };
}

/** A rank of the pipeline: its stages, their parameters, and the layers that it keeps at once. */
interface PipelineRank extends ActivationBytes {
  readonly own: readonly PlannedStage[];
  readonly parameters: number;
  readonly layers: number;
}

/** Bytes of one rank of the pipeline. */
function bytesOfRank(shape: StepShape, rank: PipelineRank): RankBytes {
  const { zero, mesh: { shard } } = shape;
  const { own, parameters, layers, kept, working, head } = rank;
  const shareFrom = (stage: number) => parameters / (zero >= stage ? shard : 1);
  // Micro-batches are added up on each rank before ranks are: several of them need whole gradients.
  const partsWithGradients = zero >= 2 && microBatchesOf(shape) === 1;
  const layer = pieceParameters("block", shape);
  const bytes = {
    weights: 4 * shareFrom(1),
    gradients: 4 * (partsWithGradients ? shareFrom(2) : parameters),
    moments: 8 * shareFrom(1),
    compute: 2 * shareFrom(3),
    kept: kept * layers,
    working,
    head: own.some((stage) => stage.head) ? head : 0,
    travelling: (zero === 3 ? 2 * GATHERED_LAYERS * layer : 0) +
      (partsWithGradients ? 4 * layer : 0),
  };
  return { ...bytes, total: total(bytes) };
}
