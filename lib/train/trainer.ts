/**
 * One step of training: batch, gradients, clipping, update; or no update, where the numbers are not
 * fit for one.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import type { Mesh } from "../comm/mesh.ts";
import { countTargets, type SequenceRange, type TrainingData } from "../data/batches.ts";
import type { Trainable } from "../model/training/trainable.ts";
import { microBatchesOf } from "../parallel/micro_batches.ts";
import type { GradientEngine } from "./gradient_engine.ts";
import type { Optimizer } from "./optimizer.ts";
import { learningRate } from "./schedule.ts";
import type { TrainSettings } from "./settings.ts";
import { spikeOf, widened } from "./spikes.ts";
import type { TrainState } from "./state.ts";

/** What a trainer works with. */
export interface TrainerParts {
  /** The ranks: each replica of them takes its share of every batch. */
  readonly mesh: Pick<Mesh, "replicas">;
  /** This rank's part of the model. */
  readonly model: Pick<Trainable, "weightsStepped">;
  /** The optimizer of that part. */
  readonly optimizer: Optimizer;
  /** Computes gradients. */
  readonly engine: GradientEngine;
  /** Its batches. */
  readonly data: Pick<TrainingData, "step">;
  /** Settings of the run. */
  readonly settings: TrainSettings;
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
    const { optimizer, settings, model, engine } = this.#parts;
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
    engine.stepped?.();
    const window = settings.skipSpikes ? widened(state.window, measured) : state.window;
    return { ...measured, outcome: "updated", state: { ...next, updates, dropped: 0, window } };
  }

  /** Gradients of a step; what it returns is the same bits on every rank, so that all decide alike. */
  async #gradients(state: TrainState): Promise<{ loss: number; tokens: number }> {
    const { data, engine, settings, mesh: { replicas } } = this.#parts;
    const skips = [...settings.skipBatches, ...state.recoveries];
    let ranges: readonly SequenceRange[] = [];
    const part = (sequences: number) => {
      const { microBatch } = settings;
      ranges = engine.share?.(sequences) ??
        microBatchesOf(sequences, { microBatch, replicas, order: "ranks", partitioned: false });
      return ranges;
    };
    const batches = data.step(state.step, { microBatch: settings.microBatch, skips, part });
    // The mean is over all counted tokens of the step, however they are cut and wherever they are.
    const counted = Float64Array.of(batches.reduce((sum, batch) => sum + countTargets(batch), 0));
    replicas.allReduce(counted);
    const targets = Math.max(1, counted[0]!);
    const ownRows = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
    const { dropout, seed, zLoss } = settings;
    const { length = 0 } = batches[0] ?? {};
    const firstRow = (ranges[0]?.first ?? 0) * length;
    const losses = await engine.gradients(batches, {
      weightScale: 1 / targets,
      zLoss,
      dropout: dropout > 0 ? { seed, step: state.step, firstRow } : undefined,
      rowStride: ranges.length > 1 ? (ranges[1]!.first - ranges[0]!.first) * length : undefined,
    });
    const sum = inOrder(losses, { replicas, ranges }).reduce((sum, loss) => sum + loss, 0);
    return { loss: sum / targets, tokens: ownRows * replicas.size };
  }
}

/** The losses of all micro-batches in the order of the batch: their sum is the same wherever they were. */
function inOrder(losses: Float64Array, { replicas, ranges }: {
  readonly replicas: Communicator;
  readonly ranges: readonly SequenceRange[];
}): number[] {
  const all = new Float64Array(2 * losses.length * replicas.size);
  const own = 2 * losses.length * replicas.rank;
  losses.forEach((loss, i) => all.set([ranges[i]!.first, loss], own + 2 * i));
  replicas.allGather(all);
  const pairs = Array.from(
    { length: all.length / 2 },
    (_, i) => [...all.subarray(2 * i, 2 * i + 2)],
  );
  return pairs.sort(([a], [b]) => a! - b!).map(([, loss]) => loss!);
}
