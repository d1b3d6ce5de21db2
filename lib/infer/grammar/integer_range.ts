/**
 * Whole numbers between two bounds, as sequences of digits.
 *
 * @module
 */

import type { GrammarBuilder, Sequence } from "./grammar.ts";

/** Most digits of a number that one bound leaves open. */
const MOST_DIGITS = 16;

/** Bounds of whole numbers, both allowed; an infinite one leaves that side open. */
export interface IntegerBounds {
  /** Smallest number. */
  readonly min: number;
  /** Largest number. */
  readonly max: number;
}

/** The numbers from `min` to `max` as JSON writes them, without leading zeros. */
export function integerRange(builder: GrammarBuilder, { min, max }: IntegerBounds): Sequence {
  const alternatives: Sequence[] = [];
  if (max >= 0) alternatives.push(...unsigned(builder, Math.max(0, min), max));
  if (min < 0) {
    const minus = builder.literal("-");
    const [from, to] = [Math.max(1, -max), -min];
    alternatives.push(...unsigned(builder, from, to).map((digits) => [...minus, ...digits]));
  }
  return builder.choice(alternatives);
}

/** Numbers from `min` to `max`, both at least 0, by their number of digits. */
function unsigned(builder: GrammarBuilder, min: number, max: number): Sequence[] {
  const found: Sequence[] = [];
  const longest = max === Infinity ? Math.max(MOST_DIGITS, String(min).length) : String(max).length;
  for (let digits = String(min).length; digits <= longest; digits++) {
    const least = digits === 1 ? 0 : 10 ** (digits - 1);
    const from = String(Math.max(min, least));
    const to = max === Infinity ? "9".repeat(digits) : String(Math.min(max, 10 ** digits - 1));
    found.push(...sameLength(builder, from, to));
  }
  return found;
}

/** Numbers between two of the same length. */
function sameLength(builder: GrammarBuilder, from: string, to: string): Sequence[] {
  const free = (count: number) =>
    builder.repeat([builder.chars([[0x30, 0x39]])], { min: count, max: count });
  if (/^0*$/.test(from) && /^9*$/.test(to)) return [free(to.length)];
  if (from.length === 1) return [[digitsBetween(builder, Number(from), Number(to))]];
  const [first, last] = [Number(from[0]), Number(to[0])];
  const rest = from.length - 1;
  const head = (digit: number) => builder.literal(String(digit));
  const prefixed = (digit: number, tails: Sequence[]) =>
    tails.map((tail) => [...head(digit), ...tail]);
  if (first === last) {
    return prefixed(first, sameLength(builder, from.slice(1), to.slice(1)));
  }
  const found: Sequence[] = [];
  const lowIsWhole = /^0*$/.test(from.slice(1));
  const highIsWhole = /^9*$/.test(to.slice(1));
  if (!lowIsWhole) {
    found.push(...prefixed(first, sameLength(builder, from.slice(1), "9".repeat(rest))));
  }
  const [low, high] = [lowIsWhole ? first : first + 1, highIsWhole ? last : last - 1];
  if (low <= high) found.push([digitsBetween(builder, low, high), ...free(rest)]);
  if (!highIsWhole) {
    found.push(...prefixed(last, sameLength(builder, "0".repeat(rest), to.slice(1))));
  }
  return found;
}

function digitsBetween(builder: GrammarBuilder, low: number, high: number): number {
  return builder.chars([[0x30 + low, 0x30 + high]]);
}
