/**
 * Multiples of a decimal number between two bounds, as sequences of digits.
 *
 * Written without its point, a multiple of p / 10^k is a whole multiple of p. Digit by digit only the
 * remainder by p counts, and whether the digits so far are still those of a bound: finitely many states.
 *
 * @module
 */

import { normalizedSet } from "./char_set.ts";
import type { GrammarBuilder, GrammarSymbol, Sequence } from "./grammar.ts";
import type { NumberBound, NumberRange } from "./number_range.ts";

/** Digits that a number has at most where no bound says more. */
const MOST_DIGITS = 15;

/** A decimal number: `units` / 10^`places`. */
export interface Decimal {
  /** A whole number. */
  readonly units: bigint;
  /** Digits after the point. */
  readonly places: number;
}

/** The shortest decimal that a double stands for. */
export function decimalOf(value: number): Decimal {
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const [whole, fraction = ""] = digits.split(".") as [string, string?];
  const places = fraction.length - Number(exponent);
  const units = BigInt(whole + fraction);
  return places >= 0 ? { units, places } : { units: units * 10n ** BigInt(-places), places: 0 };
}

/** The least number that is a multiple of both. */
export function commonMultiple(one: Decimal, other: Decimal): Decimal {
  const places = Math.max(one.places, other.places);
  const [a, b] = [one, other].map((each) => each.units * 10n ** BigInt(places - each.places));
  return withoutZeros({ units: a! / greatestDivisor(a!, b!) * b!, places });
}

function withoutZeros({ units, places }: Decimal): Decimal {
  return places === 0 || units % 10n !== 0n
    ? { units, places }
    : withoutZeros({ units: units / 10n, places: places - 1 });
}

function greatestDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestDivisor(b, a % b);
}

/** The multiples of a step in a range, as JSON writes them without an exponent; none for an empty one. */
export function multiplesBetween(
  builder: GrammarBuilder,
  step: Decimal,
  { min, max }: NumberRange,
): Sequence[] {
  const { places } = step;
  const [from, to] = [scaled(min, places, 1n), scaled(max, places, -1n)];
  const digits = new MultipleDigits(builder, step);
  const found: Sequence[] = [];
  if (to === undefined || to >= 0n) {
    found.push(...digits.numbers(from === undefined || from < 0n ? 0n : from, to));
  }
  if (from === undefined || from < 0n) {
    // Zero has no sign.
    const least = to === undefined || to >= 0n ? 1n : -to;
    const numbers = digits.numbers(least, from === undefined ? undefined : -from);
    found.push(...numbers.map((number) => [...builder.literal("-"), ...number]));
  }
  return found;
}

/** The first whole number of 10^-`places` inside of a bound; undefined where that side is open. */
function scaled(bound: NumberBound, places: number, inwards: 1n | -1n): bigint | undefined {
  if (!Number.isFinite(bound.value)) return undefined;
  const exact = decimalOf(bound.value);
  const above = exact.units * 10n ** BigInt(places);
  const unit = 10n ** BigInt(exact.places);
  if (above % unit === 0n) return above / unit + (bound.exclusive ? inwards : 0n);
  // Division rounds towards zero.
  const cut = above / unit;
  const isOutside = inwards === 1n ? cut * unit < above : cut * unit > above;
  return isOutside ? cut + inwards : cut;
}

/** Where a number stands: `at` digits of `length` are written, with this remainder. */
interface Position {
  readonly at: number;
  readonly remainder: number;
  /** Whether the digits so far are those of the lower bound, and of the upper one. */
  readonly onLow: boolean;
  readonly onHigh: boolean;
}

/** Both bounds as digits of one length. */
interface Digits {
  readonly low: string;
  readonly high: string;
}

class MultipleDigits {
  readonly #builder: GrammarBuilder;
  readonly #step: number;
  readonly #places: number;
  /** Rules by their alternatives, so that equal rests of numbers are one rule. */
  readonly #rules = new Map<string, GrammarSymbol>();
  /** Rests of numbers that no bound holds, by what is left of them. */
  readonly #free = new Map<string, GrammarSymbol | undefined>();

  constructor(builder: GrammarBuilder, { units, places }: Decimal) {
    this.#builder = builder;
    this.#step = Number(units);
    this.#places = places;
  }

  /** Multiples from `low` to `high`, both at least 0 and without their points, by their lengths. */
  numbers(low: bigint, high: bigint | undefined): Sequence[] {
    const open = 10n ** BigInt(Math.max(MOST_DIGITS, String(low).length)) - 1n;
    const last = high ?? open;
    const found: Sequence[] = [];
    const longest = Math.max(String(last).length, this.#places + 1);
    for (let length = this.#places + 1; length <= longest; length++) {
      const least = length === this.#places + 1 ? 0n : 10n ** BigInt(length - 1);
      const [from, to] = [low > least ? low : least, smaller(last, 10n ** BigInt(length) - 1n)];
      if (from > to) continue;
      const digits = {
        low: String(from).padStart(length, "0"),
        high: String(to).padStart(length, "0"),
      };
      const rest = this.#rest({ at: 0, remainder: 0, onLow: true, onHigh: true }, digits);
      if (rest !== undefined) found.push([rest]);
    }
    return found;
  }

  /** What can follow; undefined where nothing does and the number cannot end. */
  #rest(position: Position, digits: Digits): GrammarSymbol | undefined {
    const { at, remainder, onLow, onHigh } = position;
    if (onLow || onHigh) return this.#made(position, digits);
    const key = `${digits.low.length - at},${remainder}`;
    if (!this.#free.has(key)) this.#free.set(key, this.#made(position, digits));
    return this.#free.get(key);
  }

  #made(position: Position, digits: Digits): GrammarSymbol | undefined {
    const left = digits.low.length - position.at;
    const alternatives: Sequence[] = [];
    const isWhole = left <= this.#places;
    if (isWhole && this.#mayEnd(position, digits)) alternatives.push([]);
    const dot = left === this.#places && left > 0 ? this.#builder.literal(".") : [];
    for (const [after, ranges] of this.#nextDigits(position, digits)) {
      alternatives.push([...dot, this.#builder.chars(normalizedSet(ranges)), after]);
    }
    if (alternatives.length === 0) return undefined;
    const key = alternatives.join(";");
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    const symbol = this.#builder.rule(alternatives);
    this.#rules.set(key, symbol);
    return symbol;
  }

  /** Digits that may come, by what follows them. */
  #nextDigits(
    { at, remainder, onLow, onHigh }: Position,
    digits: Digits,
  ): Map<GrammarSymbol, [number, number][]> {
    const found = new Map<GrammarSymbol, [number, number][]>();
    if (at === digits.low.length) return found;
    const [first, last] = [
      onLow ? Number(digits.low[at]) : 0,
      onHigh ? Number(digits.high[at]) : 9,
    ];
    for (let digit = first; digit <= last; digit++) {
      const after = this.#rest({
        at: at + 1,
        remainder: (remainder * 10 + digit) % this.#step,
        onLow: onLow && digit === first,
        onHigh: onHigh && digit === last,
      }, digits);
      if (after === undefined) continue;
      if (!found.has(after)) found.set(after, []);
      found.get(after)!.push([0x30 + digit, 0x30 + digit]);
    }
    return found;
  }

  /** Whether the number is one of them with nothing but zeros behind it. */
  #mayEnd({ at, remainder, onLow }: Position, { low }: Digits): boolean {
    const zeros = BigInt(low.length - at);
    if (BigInt(remainder) * 10n ** zeros % BigInt(this.#step) !== 0n) return false;
    return !onLow || /^0*$/.test(low.slice(at));
  }
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
