/**
 * One step of training: batch, gradients, clipping, update; or no update, where the numbers are not
 * fit for one.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { Communicator } from "../comm/communicator.ts";
import { countTargets, type TrainingData } from "../data/batches.ts";
import type { Trainable } from "../model/training/trainable.ts";
import { type GradientReducer, shareOf } from "../parallel/data.ts";
import type { Optimizer } from "./optimizer.ts";
import { learningRate } from "./schedule.ts";
import type { TrainSettings } from "./settings.ts";
import { spikeOf, widened } from "./spikes.ts";
import type { TrainState } from "./state.ts";

/** The replicas of a data-parallel run; each takes its share of every batch. */
export interface Replicas {
  /** All of them. */
  readonly ranks: Communicator;
  /** Adds up their gradients. */
  readonly reducer: GradientReducer;
}

/** What a trainer works with. */
export interface TrainerParts {
  /** The model. */
  readonly model: Trainable;
  /** Its optimizer. */
  readonly optimizer: Optimizer;
  /** Its batches. */
  readonly data: Pick<TrainingData, "step">;
  /** Settings of the run. */
  readonly settings: TrainSettings;
  /** The replicas that train with it; none without. */
  readonly replicas?: Replicas | undefined;
}

/** What a step did. */
export type StepOutcome =
  /** The weights were updated. */
  | "updated"
  /** Loss or gradients were not finite: nothing was updated. */
  | "dropped"
  /** The loss jumped: nothing was updated, and the state stays before the step. */
  | "spike";

/** A step that was computed. */
export interface StepResult {
  /** What became of it. */
  readonly outcome: StepOutcome;
  /** Why it was dropped or what the spike is, in words. */
  readonly reason?: string;
  /** Mean loss, z-loss counted. */
  readonly loss: number;
  /** Norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Learning rate. */
  readonly lr: number;
  /** Tokens of the batch. */
  readonly tokens: number;
  /** The state to go on from. */
  readonly state: TrainState;
}

/** Computes steps, each a function of weights, moments and state. */
export class Trainer {
  readonly #parts: TrainerParts;

  /** Puts the parts together. */
  constructor(parts: TrainerParts) {
    this.#parts = parts;
  }

  /** Computes the step after a state; gives the event loop a turn between micro-batches. */
  async step(state: TrainState): Promise<StepResult> {
    const { optimizer, settings, model } = this.#parts;
    const lr = learningRate(state.step + 1, settings);
    const { loss, tokens } = await this.#gradients(state);
    const { norm: gradNorm, finite } = optimizer.measure();
    const measured = { loss, gradNorm, lr, tokens };
    const next = { ...state, step: state.step + 1, tokens: state.tokens + tokens };
    if (!finite || !Number.isFinite(loss)) {
      const reason = `loss ${loss}, gradient norm ${gradNorm}: not finite`;
      const dropped = { ...next, dropped: state.dropped + 1 };
      return { ...measured, outcome: "dropped", reason, state: dropped };
    }
    const reason = settings.skipSpikes ? spikeOf(state.window, measured) : undefined;
    if (reason !== undefined) return { ...measured, outcome: "spike", reason, state };
    const updates = state.updates + 1;
    optimizer.update({ update: updates, lr });
    model.weightsStepped();
    const window = settings.skipSpikes ? widened(state.window, measured) : state.window;
    return { ...measured, outcome: "updated", state: { ...next, updates, dropped: 0, window } };
  }

  async #gradients(state: TrainState): Promise<{ loss: number; tokens: number }> {
    const { data, model, settings, replicas } = this.#parts;
    const skips = [...settings.skipBatches, ...state.recoveries];
    const part = replicas && ((sequences: number) => shareOf(sequences, replicas.ranks));
    const batches = data.step(state.step, { microBatch: settings.microBatch, skips, part });
    // The mean is over all counted tokens of the step, however they are cut and wherever they are.
    const counted = Float64Array.of(batches.reduce((sum, batch) => sum + countTargets(batch), 0));
    replicas?.ranks.allReduce(counted);
    const targets = Math.max(1, counted[0]!);
    const ownRows = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
    const firstRow = (replicas?.ranks.rank ?? 0) * ownRows;
    const loop = new EventLoop();
    let [sum, rows] = [0, 0];
    for (const batch of batches) {
      const { ce, z } = model.forwardBackward(batch, {
        weightScale: 1 / targets,
        accumulate: rows > 0,
        zLoss: settings.zLoss,
        ...(settings.dropout > 0
          ? { dropout: { seed: settings.seed, step: state.step, firstRow: firstRow + rows } }
          : {}),
      });
      sum += ce + z;
      rows += batch.tokens.length;
      await loop.turn();
    }
    replicas?.reducer.finish();
    // The same bits on every replica, so that all of them decide the same about the step.
    const all = Float64Array.of(sum, rows);
    replicas?.ranks.allReduce(all);
    return { loss: all[0]! / targets, tokens: all[1]! };
  }
}
