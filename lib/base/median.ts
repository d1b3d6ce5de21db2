/**
 * The median, by which measurements are summed up.
 *
 * @module
 */

/** The middle number, or the mean of the two middle ones; NaN where there is none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
