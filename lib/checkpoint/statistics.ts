/**
 * What the numbers of a tensor are like, in one pass over its file.
 *
 * @module
 */

import type { TensorRecord } from "../formats/tensor_file.ts";
import { tensorValues } from "./tensor_values.ts";

/** Statistics of the finite numbers of a tensor, and how many are not. */
export interface TensorStatistics {
  /** Smallest; `undefined` where none is finite. */
  readonly min: number | undefined;
  /** Largest; `undefined` where none is finite. */
  readonly max: number | undefined;
  /** Arithmetic mean; `undefined` where none is finite. */
  readonly mean: number | undefined;
  /** `sqrt(mean(x^2))`; `undefined` where none is finite. */
  readonly rms: number | undefined;
  /** How many are not a number. */
  readonly nan: number;
  /** How many are infinite. */
  readonly infinite: number;
}

/**
 * Reads a tensor once and describes its numbers; `undefined` where its element type is not decoded.
 * Sums run in double precision.
 */
export function tensorStatistics(record: TensorRecord): TensorStatistics | undefined {
  const chunks = tensorValues(record);
  if (chunks === undefined) return undefined;
  let [min, max, sum, squares] = [Infinity, -Infinity, 0, 0];
  let [count, nan, infinite] = [0, 0, 0];
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i++) {
      const value = chunk[i]!;
      if (value - value !== 0) {
        if (value !== value) nan++;
        else infinite++;
        continue;
      }
      if (value < min) min = value;
      if (value > max) max = value;
      sum += value;
      squares += value * value;
      count++;
    }
  }
  if (count === 0) {
    return { min: undefined, max: undefined, mean: undefined, rms: undefined, nan, infinite };
  }
  return { min, max, mean: sum / count, rms: Math.sqrt(squares / count), nan, infinite };
}
