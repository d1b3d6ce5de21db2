/**
 * Comparisons of numbers that show, when they fail, which elements differ, by how much and where.
 *
 * @module
 */

import { AssertionError } from "node:assert/strict";

/** How far numbers may be apart, and how a failure names them. */
export interface ClosenessOptions {
  /** What is compared, for the message. */
  readonly what: string;
  /** The largest |got - want| that passes. */
  readonly absolute?: number;
  /** The largest |got - want| / max |want| that passes; added to `absolute`. */
  readonly ofLargest?: number;
  /** Shape of the numbers, so that a place is told by axis. */
  readonly shape?: readonly number[];
}

/** Pairs that a failure shows. */
const SHOWN = 5;

function place(index: number, shape: readonly number[] | undefined): string {
  if (shape === undefined || shape.length < 2) return `[${index}]`;
  const at: number[] = [];
  for (const extent of shape.toReversed()) {
    at.unshift(index % extent);
    index = Math.floor(index / extent);
  }
  return `[${at.join(", ")}]`;
}

/** Difference of two numbers: 0 for equal ones and for two NaN, infinite where only one is NaN. */
function difference(got: number, want: number): number {
  if (Object.is(got, want) || got === want) return 0;
  const off = Math.abs(got - want);
  return Number.isNaN(off) ? Infinity : off;
}

function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > largest && magnitude < Infinity) largest = magnitude;
  }
  return largest;
}

/** The largest of a measure over all indices, and where it is. */
function worst(count: number, measure: (index: number) => number): { value: number; at: number } {
  let found = { value: -1, at: 0 };
  for (let i = 0; i < count; i++) {
    const value = measure(i);
    if (value > found.value) found = { value, at: i };
  }
  return found;
}

/**
 * Requires |got - want| <= absolute + ofLargest * max |want| for every element.
 *
 * @throws {AssertionError} With the first pairs that differ and the largest differences.
 */
export function assertClose(
  [got, want]: readonly [ArrayLike<number>, ArrayLike<number>],
  options: ClosenessOptions,
): void {
  const { what, shape } = options;
  if (got.length !== want.length) {
    throw new AssertionError({
      message: `${what}: ${got.length} elements, ${want.length} were wanted`,
    });
  }
  const allowed = (options.absolute ?? 0) + (options.ofLargest ?? 0) * largestMagnitude(want);
  const off = (i: number) => difference(got[i]!, want[i]!);
  const failed: number[] = [];
  for (let i = 0; i < got.length; i++) if (off(i) > allowed) failed.push(i);
  if (failed.length === 0) return;
  const pairs = failed.slice(0, SHOWN).map((i) =>
    `  ${place(i, shape)}: ${got[i]}, wanted ${want[i]}, ${off(i).toExponential(2)} off`
  );
  const absolute = worst(got.length, off);
  const relative = worst(got.length, (i) => off(i) === 0 ? 0 : off(i) / Math.abs(want[i]!));
  throw new AssertionError({
    message: [
      `${what}: ${failed.length} of ${got.length} elements are more than ${
        allowed.toExponential(2)
      } off`,
      ...pairs,
      `  largest difference ${absolute.value.toExponential(2)} at ${place(absolute.at, shape)}, ` +
      `relative ${relative.value.toExponential(2)} at ${place(relative.at, shape)}`,
    ].join("\n"),
  });
}

/** Requires the same bytes. @throws {AssertionError} With the first that differ. */
export function assertSameBits(
  [got, want]: readonly [Uint8Array, Uint8Array],
  what: string,
): void {
  const differ: number[] = [];
  for (let i = 0; i < Math.max(got.length, want.length); i++) {
    if (got[i] !== want[i]) differ.push(i);
  }
  if (differ.length === 0) return;
  const hex = (byte: number | undefined) => byte?.toString(16).padStart(2, "0") ?? "nothing";
  const pairs = differ.slice(0, SHOWN).map((i) =>
    `  byte ${i}: ${hex(got[i])}, wanted ${hex(want[i])}`
  );
  throw new AssertionError({
    message: [`${what}: ${differ.length} of ${want.length} bytes differ`, ...pairs].join("\n"),
  });
}
