/**
 * The seam between a step and the ways of sharing it out: who computes the gradients of a batch, and
 * leaves their sum over all ranks where the optimizer reads them.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { SequenceBatch } from "../data/batches.ts";
import type { DropoutState, Trainable } from "../model/training/trainable.ts";
import type { GradientReducer } from "../parallel/data.ts";

/** What the gradients of a step are computed with. */
export interface GradientRequest {
  /** Factor of every target's loss: 1 / targets of the whole batch, over all replicas. */
  readonly weightScale: number;
  /** Weight of log^2 Z. */
  readonly zLoss: number;
  /** What is dropped; `firstRow` is that of the first of these batches in the whole batch. */
  readonly dropout?: DropoutState | undefined;
}

/** Computes gradients on this rank's part of a mesh. */
export interface GradientEngine {
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
   * Sum of the cross-entropies of a batch, and how many targets counted; the same on all ranks of a
   * replica.
   */
  evaluate(batch: SequenceBatch): { readonly ce: number; readonly count: number };
}

/** A whole model on this rank: one micro-batch after the other, then the sum over the replicas. */
export class WholeModelEngine implements GradientEngine {
  readonly #model: Pick<Trainable, "forwardBackward" | "evaluate">;
  readonly #reducer: Pick<GradientReducer, "finish">;

  /** Computes with a model; the reducer adds over the replicas. */
  constructor(
    model: Pick<Trainable, "forwardBackward" | "evaluate">,
    reducer: Pick<GradientReducer, "finish">,
  ) {
    this.#model = model;
    this.#reducer = reducer;
  }

  /** Computes, accumulates and adds; gives the event loop a turn between micro-batches. */
  async gradients(
    batches: readonly SequenceBatch[],
    { weightScale, zLoss, dropout }: GradientRequest,
  ): Promise<Float64Array<ArrayBuffer>> {
    const loop = new EventLoop();
    const losses = new Float64Array(batches.length);
    let firstRow = dropout?.firstRow ?? 0;
    for (const [i, batch] of batches.entries()) {
      const { ce, z } = this.#model.forwardBackward(batch, {
        weightScale,
        accumulate: i > 0,
        zLoss,
        dropout: dropout && { ...dropout, firstRow },
      });
      losses[i] = ce + z;
      firstRow += batch.tokens.length;
      await loop.turn();
    }
    this.#reducer.finish();
    return losses;
  }

  /** Evaluates a batch. */
  evaluate(batch: SequenceBatch): { readonly ce: number; readonly count: number } {
    return this.#model.evaluate(batch, { zLoss: 0 });
  }
}
