/**
 * The losses of a batch from the scores of its targets, and the weights that its targets have in it.
 *
 * @module
 */

import type { LossSums, TargetScores, TrainBatch } from "./trainable.ts";

/** Sums the losses of a batch in double precision, rows in order. */
export function sumLosses(
  { targets, weights }: Pick<TrainBatch, "targets" | "weights">,
  { logProb, logZ, zLoss }: TargetScores & { readonly zLoss: number },
): LossSums {
  let [ce, z, weight, count] = [0, 0, 0, 0];
  targets.forEach((target, row) => {
    if (target < 0) return;
    const w = weights?.[row] ?? 1;
    ce -= w * logProb[row]!;
    z += w * zLoss * logZ[row]! ** 2;
    weight += w;
    count++;
  });
  return { ce, z, weight, count };
}

/** Weights of the targets of a batch times a factor, into an array that is long enough [T]. */
export function scaledWeights(
  { targets, weights }: Pick<TrainBatch, "targets" | "weights">,
  { scale, into }: { readonly scale: number; readonly into: Float32Array<ArrayBuffer> },
): Float32Array<ArrayBuffer> {
  const scaled = into.subarray(0, targets.length);
  scaled.forEach((_, row) => scaled[row] = scale * (weights?.[row] ?? 1));
  return scaled;
}
