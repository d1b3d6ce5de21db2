/**
 * The seam between a step and the ways of sharing it out: who computes the gradients of a batch, and
 * leaves their sum over all ranks where the optimizer reads them.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { SequenceBatch, SequenceRange } from "../data/batches.ts";
import type { DropoutState, Trainable } from "../model/training/trainable.ts";
import type { PipelineReport } from "../parallel/pipeline_report.ts";
import type { GradientSum } from "../parallel/gradient_sum.ts";
import type { UnitWeights } from "../parallel/unit_weights.ts";
import { microBatchesOf, type MicroBatchOptions } from "../parallel/micro_batches.ts";

/** What counts what it sends: communicators, and ranks with a GPU each. */
export type Counted = Pick<Communicator, "name" | "traffic">;

/** What the gradients of a step are computed with. */
export interface GradientRequest {
  /** Factor of every target's loss: 1 / targets of the whole batch, over all replicas. */
  readonly weightScale: number;
  /** Weight of log^2 Z. */
  readonly zLoss: number;
  /** What is dropped; `firstRow` is that of the first of these batches in the whole batch. */
  readonly dropout?: DropoutState | undefined;
  /** Rows from the first of one of these batches to that of the next, where others lie between. */
  readonly rowStride?: number | undefined;
}

/** What an evaluation has found of a batch. */
export interface Evaluated {
  /** Sum of the cross-entropies of the targets that count. */
  readonly ce: number;
  /** How many count. */
  readonly count: number;
}

/** Computes gradients on this rank's part of a mesh. */
export interface GradientEngine {
  /** Communicators of its own, besides those of the mesh. */
  readonly communicators?: readonly Counted[] | undefined;
  /** How long the stages of a pipeline have stood still since the last report; all of them call it. */
  readonly standstill?: (() => PipelineReport) | undefined;
  /**
   * Computes the gradients of a replica's micro-batches and adds them up over all replicas.
   *
   * @param batches The micro-batches of this rank's replica, the same on all ranks of the replica.
   * @returns Sum of the losses of each micro-batch, z-loss counted, the same on all ranks of the
   *   replica.
   */
  gradients(
    batches: readonly SequenceBatch[],
    request: GradientRequest,
  ): Promise<Float64Array<ArrayBuffer>>;
  /**
   * Sum of the cross-entropies of each batch, and how many of its targets counted; the same on all ranks
   * of a replica, which all give the same batches.
   */
  evaluate(batches: readonly SequenceBatch[]): Evaluated[] | Promise<Evaluated[]>;
  /** Batches that an evaluation does well to take at once. @default {1} */
  readonly batchesAtOnce?: number;
  /**
   * The sequences of each of this replica's micro-batches; without it they are its neighbouring share.
   *
   * @throws {ConfigError} Where a batch cannot be shared out as the settings want it.
   */
  share?(sequences: number): readonly SequenceRange[];
  /** The optimizer has updated what this rank owns: the others' part of the weights is stale. */
  stepped?(): void;
  /** Brings all weights to where they are read, on all ranks together, where there is room for them. */
  settle?(): void;
}

/** What a whole model on this rank computes gradients with. */
export interface WholeModelParts {
  /** The model, which tells its units to the sum. */
  readonly model: Pick<Trainable, "forwardBackward" | "evaluate">;
  /** Adds up micro-batches and replicas. */
  readonly sum: Pick<GradientSum, "begin" | "computes" | "accumulates" | "end">;
  /** Who computes which sequences. */
  readonly sharing: MicroBatchOptions;
  /** Brings weights that other ranks own. */
  readonly weights?: Pick<UnitWeights, "stepped" | "settle"> | undefined;
  /** Communicators of the model, besides those of the mesh. */
  readonly communicators?: readonly Counted[] | undefined;
}

/** A whole model on this rank: one micro-batch after the other, and the sum over the replicas. */
export class WholeModelEngine implements GradientEngine {
  /** Those of the model. */
  readonly communicators: readonly Counted[] | undefined;
  readonly #parts: WholeModelParts;

  /** Puts the parts together. */
  constructor(parts: WholeModelParts) {
    this.#parts = parts;
    this.communicators = parts.communicators;
  }

  /** This replica's micro-batches. */
  share(sequences: number): readonly SequenceRange[] {
    return microBatchesOf(sequences, this.#parts.sharing);
  }

  /** Weights that other ranks own are stale. */
  stepped(): void {
    this.#parts.weights?.stepped();
  }

  /** Brings the weights that other ranks own. */
  settle(): void {
    this.#parts.weights?.settle();
  }

  /** Computes and adds; gives the event loop a turn between micro-batches. */
  async gradients(
    batches: readonly SequenceBatch[],
    { weightScale, zLoss, dropout, rowStride }: GradientRequest,
  ): Promise<Float64Array<ArrayBuffer>> {
    const { model, sum } = this.#parts;
    const loop = new EventLoop();
    const losses = new Float64Array(batches.length);
    let firstRow = dropout?.firstRow ?? 0;
    sum.begin(batches.length);
    for (const [i, batch] of batches.entries()) {
      sum.computes(batch);
      const { ce, z } = model.forwardBackward(batch, {
        weightScale,
        accumulate: sum.accumulates,
        zLoss,
        dropout: dropout && { ...dropout, firstRow },
      });
      sum.end();
      losses[i] = ce + z;
      firstRow += rowStride ?? batch.tokens.length;
      await loop.turn();
    }
    return losses;
  }

  /** Evaluates batches. */
  evaluate(batches: readonly SequenceBatch[]): Evaluated[] {
    return batches.map((batch) => this.#parts.model.evaluate(batch, { zLoss: 0 }));
  }
}
