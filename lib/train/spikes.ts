/**
 * Loss spikes: how they are told from noise, and PaLM's way out of them, unattended: back to a
 * checkpoint at least 100 steps before, and past 200 to 500 batches around the spike (Chowdhery et
 * al. 2022, section 5.1).
 *
 * Everything here is a function of the losses so far, which are in every checkpoint: a run that is
 * killed and resumed finds the same spikes and takes the same way.
 *
 * @module
 */

import { median } from "../base/median.ts";
import type { Skip } from "../data/order.ts";

/** Losses that a spike is judged by. */
export const SPIKE_WINDOW = 128;
/** Losses that there must be before one can be judged. */
const FEWEST = 32;
/** Deviations of the window's losses that a spike is above their median. */
const LOSS_DEVIATIONS = 6;
/** Times the window's median norm that a spike's is. */
const NORM_FACTOR = 10;
/** The standard deviation of a normal distribution, in median absolute deviations. */
const DEVIATIONS_PER_MAD = 1.4826;
/** Losses before one that it jumps above. */
const BEFORE_JUMP = 8;
/**
 * The upper octile of jumps of normally distributed losses, in their deviations: 1.1503 times
 * `sqrt(1 + v)`, with v = 0.168 the variance of the median of 8.
 */
const DEVIATIONS_PER_OCTILE = 1.2433;
/** Losses that hardly vary would make anything a spike. */
const SMALLEST_DEVIATION = 1e-3;

/** Steps that a rewind goes back at least. */
export const LEAST_REWIND = 100;
/** Batches that the first recovery skips, and how many more each further one near it does. */
const FEWEST_SKIPPED = 200;
const MORE_SKIPPED = 100;
const MOST_SKIPPED = 500;
/** Recoveries at most within so many steps: a run that needs more is ill. PaLM's needed 20 in 255,000. */
export const MOST_RECOVERIES = 16;
const RECOVERIES_WITHIN = 10_000;
/** Recoveries within so many steps count as attempts at the same spike. */
const SAME_SPIKE = 1000;
/** Attempts at the same spike at most. */
const MOST_ATTEMPTS = 4;

/** What happened in a step, as it is judged. */
export interface JudgedStep {
  /** Mean loss. */
  readonly loss: number;
  /** Root of the sum of all squared gradients, before clipping. */
  readonly gradNorm: number;
}

/** Losses and norms of the last steps that were no spikes, oldest first. */
export interface SpikeWindow {
  /** Mean losses. */
  readonly losses: readonly number[];
  /** Norms of the gradients. */
  readonly norms: readonly number[];
}

/** The window of a run that begins. */
export const EMPTY_WINDOW: SpikeWindow = { losses: [], norms: [] };

/** The window with one more step, its oldest dropped where it is full. */
export function widened(window: SpikeWindow, { loss, gradNorm }: JudgedStep): SpikeWindow {
  return {
    losses: [...window.losses, loss].slice(-SPIKE_WINDOW),
    norms: [...window.norms, gradNorm].slice(-SPIKE_WINDOW),
  };
}

/** Why a step is a spike, in words, or `undefined` where it is none. */
export function spikeOf(window: SpikeWindow, { loss, gradNorm }: JudgedStep): string | undefined {
  if (window.losses.length < FEWEST) return undefined;
  const middle = median(window.losses);
  const deviation = deviationOf(window.losses, middle);
  const deviations = (loss - middle) / deviation;
  if (deviations > LOSS_DEVIATIONS) {
    return `loss ${loss.toFixed(4)} is ${deviations.toFixed(1)} deviations above the median ` +
      `${middle.toFixed(4)} of ${window.losses.length} steps`;
  }
  const norm = median(window.norms);
  if (gradNorm > NORM_FACTOR * norm) {
    return `gradient norm ${gradNorm.toPrecision(4)} is ${
      (gradNorm / norm).toFixed(1)
    } times the ` +
      `median ${norm.toPrecision(4)} of ${window.norms.length} steps`;
  }
  return undefined;
}

/**
 * The standard deviation of losses, by two estimates that few outliers do not reach; the larger one
 * counts. The median distance from the median is that of the bulk: of small batches of uneven data it
 * says too little, as their losses spread further upwards than the bulk does. The upper octile of jumps
 * (how far a loss is above the median of the eight before it, so that a falling curve adds nothing)
 * tells these. For a normal distribution both are the same.
 */
function deviationOf(losses: readonly number[], middle: number): number {
  const distances = losses.map((value) => Math.abs(value - middle));
  const jumps = losses.slice(BEFORE_JUMP)
    .map((value, i) => value - median(losses.slice(i, i + BEFORE_JUMP)))
    .sort((a, b) => a - b);
  const octile = jumps[Math.floor((jumps.length * 7) / 8)]!;
  return Math.max(
    DEVIATIONS_PER_MAD * median(distances),
    octile / DEVIATIONS_PER_OCTILE,
    SMALLEST_DEVIATION,
  );
}

/** How a run gets past a spike. */
export interface Recovery {
  /** Step of the checkpoint to go back to; 0 is the beginning. */
  readonly rewindTo: number;
  /** What is left out from now on. */
  readonly skip: Skip;
}

/**
 * Plans the recovery from a spike in step `step` (from 0): to the last multiple of `saveEvery` that is
 * at least 100 steps before, data skipped from 100 steps before the spike on. A further attempt goes
 * to a multiple of 100 steps or more, of which fewer have to be kept. `undefined` where earlier
 * recoveries have not helped.
 *
 * @param earlier The skips of earlier recoveries.
 */
export function planRecovery(
  step: number,
  { saveEvery, earlier }: { readonly saveEvery: number; readonly earlier: readonly Skip[] },
): Recovery | undefined {
  const from = Math.max(0, step - LEAST_REWIND);
  const within = (steps: number) =>
    earlier.filter((skip) => Math.abs(skip.step - from) <= steps).length;
  const attempts = within(SAME_SPIKE);
  if (attempts >= MOST_ATTEMPTS || within(RECOVERIES_WITHIN) >= MOST_RECOVERIES) return undefined;
  const batches = Math.min(MOST_SKIPPED, FEWEST_SKIPPED + attempts * MORE_SKIPPED);
  const spacing = attempts === 0 ? saveEvery : furtherSpacing(saveEvery);
  return { rewindTo: lastMultiple(from, spacing), skip: { step: from, batches } };
}

/**
 * Which of a run's checkpoints recoveries from a spike in step `step` or later may go back to; the
 * newest before the first one that is due, where that is not there (`saveEvery` was another then).
 *
 * Up to the batches that are skipped a run repeats itself, without a spike. So each attempt's spike is
 * at most 100 steps before that of the attempt before.
 */
export function rewindTargets(
  checkpoints: readonly number[],
  { step, saveEvery }: { readonly step: number; readonly saveEvery: number },
): number[] {
  const targetsOf = (attempts: number, spacing: number) => {
    const first = lastMultiple(Math.max(0, step - attempts * LEAST_REWIND), spacing);
    const due = checkpoints.filter((at) => at >= first && at % spacing === 0);
    const before = checkpoints.filter((at) => at < first);
    return checkpoints.includes(first) || before.length === 0 ? due : [Math.max(...before), ...due];
  };
  return [...targetsOf(1, saveEvery), ...targetsOf(MOST_ATTEMPTS, furtherSpacing(saveEvery))];
}

/** Steps between the checkpoints that attempts after the first go back to. */
function furtherSpacing(saveEvery: number): number {
  return saveEvery * Math.ceil(LEAST_REWIND / saveEvery);
}

function lastMultiple(step: number, spacing: number): number {
  return Math.floor(step / spacing) * spacing;
}
