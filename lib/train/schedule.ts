/**
 * Learning rate by step.
 *
 * @module
 */

import type { ScheduleName } from "../model/recipe.ts";

/** What a schedule is made of. */
export interface ScheduleOptions {
  /** How the rate falls. */
  readonly schedule: ScheduleName;
  /** The peak. */
  readonly lr: number;
  /** What it falls to. */
  readonly minLr: number;
  /** Steps of the linear rise. */
  readonly warmup: number;
  /** Steps at the peak before the fall. */
  readonly hold: number;
  /** Steps of the fall at the end of `wsd`. */
  readonly decay: number;
  /** Steps of the whole run. */
  readonly steps: number;
}

/**
 * The learning rate of step k (from 1): `lr k / warmup` up to the warmup, then `lr` while it holds,
 * then, with p the share of the remaining steps that have passed:
 *
 * - cosine: `minLr + (lr - minLr) (1 + cos(pi p)) / 2` (Touvron et al. 2023, section 2.3);
 * - linear: `lr + (minLr - lr) p`;
 * - constant: `lr`;
 * - inverse-sqrt: `lr sqrt(max(hold, warmup, 1) / k)`, at least minLr (Chowdhery et al. 2022,
 *   section 5: `min(1e-2, 1 / sqrt(k))`);
 * - wsd: `lr` until the last `decay` steps, then `lr + (minLr - lr) sqrt(q)`, q their share
 *   (Hägele et al. 2024, "1-sqrt").
 */
export function learningRate(k: number, options: ScheduleOptions): number {
  const { schedule, lr, minLr, warmup, hold, steps } = options;
  if (k <= warmup) return (lr * k) / warmup;
  const flat = warmup + Math.max(0, hold - (schedule === "inverse-sqrt" ? warmup : 0));
  if (k <= flat && schedule !== "constant") return lr;
  const passed = share(k - flat, steps - flat);
  switch (schedule) {
    case "constant":
      return lr;
    case "cosine":
      return minLr + ((lr - minLr) * (1 + Math.cos(Math.PI * passed))) / 2;
    case "linear":
      return lr + (minLr - lr) * passed;
    case "inverse-sqrt":
      return Math.max(minLr, lr * Math.sqrt(Math.max(hold, warmup, 1) / k));
    case "wsd":
      return lr + (minLr - lr) * Math.sqrt(share(k - (steps - options.decay), options.decay));
  }
}

/** `part / whole` from 0 to 1; 1 where there is no whole. */
function share(part: number, whole: number): number {
  return whole <= 0 ? 1 : Math.min(1, Math.max(0, part / whole));
}
