/**
 * Numbers that a JSON Schema allows, by their bounds and by what they are multiples of.
 *
 * @module
 */

import type { GrammarBuilder, Sequence } from "./grammar.ts";
import { integerRange } from "./integer_range.ts";
import { commonMultiple, type Decimal, decimalOf, multiplesBetween } from "./multiples.ts";
import { type NumberBound, numberRange } from "./number_range.ts";
import { nothingFits, refusedSchema } from "./schema_checks.ts";
import type { Schema } from "./schema_intersection.ts";
import { excludedBy } from "./schema_negation.ts";

/** Largest bound: beyond it doubles do not tell numbers of 15 digits apart. */
const LARGEST_BOUND = 1e15;

/** Largest number, without its point, of which multiples are written: each remainder is a state. */
const LARGEST_STEP = 5_000;

/** Most digits after its point. */
const MOST_PLACES = 10;

const BOUNDS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] as const;

/** Keywords that restrict numbers. */
export const NUMBER_KEYWORDS: readonly string[] = [...BOUNDS, "multipleOf"];

/** Whole numbers, or all numbers. */
export interface NumberKind {
  /** Where rules are made. */
  readonly builder: GrammarBuilder;
  /** Whether only whole numbers are meant. */
  readonly whole: boolean;
}

/**
 * The numbers that a schema allows; undefined where it restricts none.
 *
 * @throws {ConfigError} Where a keyword is no number, or no number fits.
 */
export function restrictedNumbers(
  schema: Schema,
  place: string,
  { builder, whole }: NumberKind,
): Sequence | undefined {
  const excluded = excludedBy(schema).values.filter((value) => typeof value === "number");
  const isFree = !NUMBER_KEYWORDS.some((key) => Object.hasOwn(schema, key));
  if (isFree && excluded.length === 0) return undefined;
  const bound = (key: typeof BOUNDS[number], open: number): number => {
    const value = schema[key];
    if (value === undefined) return open;
    if (typeof value !== "number") throw refusedSchema(`${place}/${key}`, "a number was wanted");
    if (Math.abs(value) <= LARGEST_BOUND) return value;
    throw refusedSchema(`${place}/${key}`, `bounds beyond ${LARGEST_BOUND} cannot be followed`);
  };
  const min = tighter(bound("minimum", -Infinity), bound("exclusiveMinimum", -Infinity), Math.max);
  const max = tighter(bound("maximum", Infinity), bound("exclusiveMaximum", Infinity), Math.min);
  const step = stepOf(schema, place, whole);
  const found = between(min, max, excluded).flatMap(([low, high]) => {
    if (step !== undefined) return multiplesBetween(builder, step, { min: low, max: high });
    if (whole) return wholeNumbers(builder, low, high);
    return numberRange(builder, { min: low, max: high });
  });
  if (found.length > 0) return builder.choice(found);
  const kind = whole ? "whole number" : "number";
  const what = step === undefined ? "" : ` that is a multiple of ${schema.multipleOf}`;
  throw nothingFits(place, `no ${kind}${what} lies between ${min.value} and ${max.value}`);
}

/** What the numbers are multiples of; whole ones are multiples of 1 too. */
function stepOf(schema: Schema, place: string, whole: boolean): Decimal | undefined {
  const { multipleOf } = schema;
  if (multipleOf === undefined) return undefined;
  const at = `${place}/multipleOf`;
  if (typeof multipleOf !== "number" || !(multipleOf > 0 && multipleOf < Infinity)) {
    throw refusedSchema(at, "a number above 0 was wanted");
  }
  const step = decimalOf(multipleOf);
  const { units, places } = whole ? commonMultiple(step, { units: 1n, places: 0 }) : step;
  if (units > LARGEST_STEP || places > MOST_PLACES) {
    throw refusedSchema(
      at,
      `multiples of more than ${LARGEST_STEP} units or ${MOST_PLACES} digits after the point ` +
        "cannot be followed",
    );
  }
  return { units, places };
}

/** The ranges that are left between two bounds where some numbers are left out. */
function between(
  min: NumberBound,
  max: NumberBound,
  excluded: readonly number[],
): [NumberBound, NumberBound][] {
  const inside = [...new Set(excluded)].sort((a, b) => a - b)
    .filter((value) => value >= min.value && value <= max.value);
  const edges = inside.map((value) => ({ value, exclusive: true }));
  return [min, ...edges].map((low, i) => [low, edges[i] ?? max]);
}

/** The bound that holds; of two equal ones the one that leaves the number out. */
function tighter(
  inclusive: number,
  exclusive: number,
  pick: (a: number, b: number) => number,
): NumberBound {
  const value = pick(inclusive, exclusive);
  return { value, exclusive: value === exclusive && Number.isFinite(value) };
}

function wholeNumbers(builder: GrammarBuilder, low: NumberBound, high: NumberBound): Sequence[] {
  const min = low.exclusive ? Math.floor(low.value) + 1 : Math.ceil(low.value);
  const max = high.exclusive ? Math.ceil(high.value) - 1 : Math.floor(high.value);
  return min > max ? [] : [integerRange(builder, { min, max })];
}
