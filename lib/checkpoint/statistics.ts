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

/** What is summed up so far. */
interface Sums {
  count: number;
  min: number;
  max: number;
  sum: number;
  squares: number;
  nan: number;
  infinite: number;
}

/** Adds a chunk whose numbers are all finite; says whether they were, and adds nothing otherwise. */
function addFinite(chunk: Float32Array | Float64Array, sums: Sums): boolean {
  let { min, max } = sums;
  let [sum, squares] = [0, 0];
  for (let i = 0; i < chunk.length; i++) {
    const value = chunk[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    squares += value * value;
  }
  // One number that is not finite makes the sum of squares so too.
  if (!Number.isFinite(squares)) return false;
  sums.count += chunk.length;
  sums.sum += sum;
  sums.squares += squares;
  [sums.min, sums.max] = [min, max];
  return true;
}

/** Adds the finite numbers of a chunk and counts the others. */
function addChecked(chunk: Float32Array | Float64Array, sums: Sums): void {
  for (const value of chunk) {
    if (Number.isNaN(value)) sums.nan++;
    else if (!Number.isFinite(value)) sums.infinite++;
    else {
      sums.count++;
      sums.min = Math.min(sums.min, value);
      sums.max = Math.max(sums.max, value);
      sums.sum += value;
      sums.squares += value * value;
    }
  }
}

/**
 * Reads a tensor once and describes its numbers; `undefined` where its element type is not decoded.
 * Sums run in double precision.
 */
export function tensorStatistics(record: TensorRecord): TensorStatistics | undefined {
  const chunks = tensorValues(record);
  if (chunks === undefined) return undefined;
  const sums: Sums = {
    ...{ count: 0, nan: 0, infinite: 0, sum: 0, squares: 0 },
    ...{ min: Infinity, max: -Infinity },
  };
  for (const chunk of chunks) {
    if (!addFinite(chunk, sums)) addChecked(chunk, sums);
  }
  const { count, min, max, nan, infinite } = sums;
  if (count === 0) {
    return { min: undefined, max: undefined, mean: undefined, rms: undefined, nan, infinite };
  }
  return { min, max, mean: sums.sum / count, rms: Math.sqrt(sums.squares / count), nan, infinite };
}
