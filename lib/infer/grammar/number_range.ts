/**
 * Numbers between two bounds, as sequences of digits with a point.
 *
 * @module
 */

import type { GrammarBuilder, Sequence } from "./grammar.ts";
import { integerRange } from "./integer_range.ts";

/** Digits that a number has at most: so many tell apart numbers that readers tell apart. */
const MOST_DIGITS = 15;

/** One end of a range. */
export interface NumberBound {
  /** The number; infinite where that side is open. */
  readonly value: number;
  /** Whether the number itself is left out. */
  readonly exclusive: boolean;
}

/** The numbers between two bounds. */
export interface NumberRange {
  /** Lower end. */
  readonly min: NumberBound;
  /** Upper end. */
  readonly max: NumberBound;
}

/** Digits after the point of a bound that the digits so far are equal to, without zeros at the end. */
interface Fraction {
  readonly digits: string;
  readonly exclusive: boolean;
}

/** What digits after the point are held by; a side that is undefined no longer holds. */
interface Between {
  readonly low: Fraction | undefined;
  readonly high: Fraction | undefined;
}

/** The numbers of a range as JSON writes them without an exponent; an empty range gives none. */
export function numberRange(builder: GrammarBuilder, { min, max }: NumberRange): Sequence[] {
  const digits = new DigitSequences(builder);
  const found: Sequence[] = [];
  if (max.value >= 0) {
    const low = min.value < 0 ? { value: 0, exclusive: false } : min;
    found.push(...digits.numbers({ min: low, max }));
  }
  if (min.value < 0) {
    // Zero has no sign.
    const low = max.value < 0 ? opposite(max) : { value: 0, exclusive: true };
    const minus = builder.literal("-");
    const numbers = digits.numbers({ min: low, max: opposite(min) });
    found.push(...numbers.map((number) => [...minus, ...number]));
  }
  return found;
}

function opposite({ value, exclusive }: NumberBound): NumberBound {
  return { value: -value, exclusive };
}

/** The digits after the point of a number of at least 0. */
function fractionOf({ value, exclusive }: NumberBound): Fraction {
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const all = digits.replace(".", "");
  const point = Number(exponent) + 1;
  const fraction = point <= 0 ? "0".repeat(-point) + all : all.slice(point);
  return { digits: fraction.replace(/0+$/, ""), exclusive };
}

class DigitSequences {
  readonly #builder: GrammarBuilder;

  constructor(builder: GrammarBuilder) {
    this.#builder = builder;
  }

  /** Numbers of a range of at least 0, by their whole part. */
  numbers({ min, max }: NumberRange): Sequence[] {
    const [from, to] = [Math.floor(min.value), Math.floor(max.value)];
    const low = fractionOf(min);
    if (max.value === Infinity) {
      return [...this.#at(from, { low, high: undefined }), ...this.#wholes(from + 1, Infinity)];
    }
    const high = fractionOf(max);
    if (from > to) return [];
    if (from === to) return this.#at(from, { low, high });
    return [
      ...this.#at(from, { low, high: undefined }),
      ...this.#wholes(from + 1, to - 1),
      ...this.#at(to, { low: undefined, high }),
    ];
  }

  /** Numbers whose whole part lies between two. */
  #wholes(from: number, to: number): Sequence[] {
    if (from > to) return [];
    const whole = integerRange(this.#builder, { min: from, max: to });
    const fraction = [
      ...this.#builder.literal("."),
      ...this.#free(1, MOST_DIGITS - String(from).length),
    ];
    return [[...whole, ...this.#builder.repeat(fraction, { min: 0, max: 1 })]];
  }

  /** Numbers of one whole part. */
  #at(whole: number, between: Between): Sequence[] {
    const head = this.#builder.literal(String(whole));
    const lengths = [between.low, between.high].map((side) => side?.digits.length ?? 0);
    const room = Math.max(MOST_DIGITS - String(whole).length, ...lengths);
    const digits = this.#digits(between, room);
    const found: Sequence[] = mayEnd(between) ? [head] : [];
    if (digits.length === 0) return found;
    return [...found, [...head, ...this.#builder.literal("."), ...this.#builder.choice(digits)]];
  }

  /** One digit and what may follow it. */
  #digits(between: Between, room: number): Sequence[] {
    if (room === 0) return [];
    const { low, high } = between;
    const [first, last] = [digitOf(low) ?? -1, digitOf(high) ?? 10];
    if (first > last) return [];
    const found: Sequence[] = [];
    if (last - first > 1) {
      found.push([this.#digit(first + 1, last - 1), ...this.#free(0, room - 1)]);
    }
    const edges = first === last ? [between] : [{ low, high: undefined }, { low: undefined, high }];
    for (const edge of edges) {
      const digit = digitOf(edge.low) ?? digitOf(edge.high);
      if (digit === undefined) continue;
      const next: Between = { low: shifted(edge.low), high: shifted(edge.high) };
      const rest = this.#digits(next, room - 1);
      if (mayEnd(next)) rest.push([]);
      if (rest.length === 0) continue;
      found.push([this.#digit(digit, digit), ...this.#builder.choice(rest)]);
    }
    return found;
  }

  #digit(low: number, high: number): number {
    return this.#builder.chars([[0x30 + low, 0x30 + high]]);
  }

  #free(min: number, max: number): Sequence {
    return this.#builder.repeat([this.#digit(0, 9)], { min, max: Math.max(min, max) });
  }
}

function digitOf(side: Fraction | undefined): number | undefined {
  return side === undefined ? undefined : Number(side.digits[0] ?? "0");
}

function shifted(side: Fraction | undefined): Fraction | undefined {
  return side && { ...side, digits: side.digits.slice(1) };
}

/** Whether the number so far, with nothing but zeros behind it, is in the range. */
function mayEnd({ low, high }: Between): boolean {
  if (low !== undefined && (low.digits !== "" || low.exclusive)) return false;
  return high === undefined || high.digits !== "" || !high.exclusive;
}
