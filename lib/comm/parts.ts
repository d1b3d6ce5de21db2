/**
 * How a vector is cut into one part for each rank.
 *
 * @module
 */

/** Elements from `start` until before `end`. */
export interface Part {
  /** First element. */
  readonly start: number;
  /** The element after the last. */
  readonly end: number;
}

/**
 * Cuts `length` elements into a part for each of `size` ranks: rank r has those from
 * floor(length · r / size) on, so that no two lengths differ by more than one.
 */
export function evenParts(length: number, size: number): Part[] {
  const cut = (rank: number) => Math.floor((length * rank) / size);
  return Array.from({ length: size }, (_, rank) => ({ start: cut(rank), end: cut(rank + 1) }));
}

/**
 * Parts of given lengths, one after the other.
 *
 * @throws {RangeError} Where they are not one for each rank, or do not add up to `length`.
 */
export function partsOf(lengths: readonly number[], length: number): Part[] {
  let start = 0;
  const parts = lengths.map((count) => {
    if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`a part of ${count}`);
    return { start, end: start += count };
  });
  if (start !== length) throw new RangeError(`parts of ${start} elements of ${length}`);
  return parts;
}
