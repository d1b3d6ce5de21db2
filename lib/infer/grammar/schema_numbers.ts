/**
 * Numbers that a JSON Schema allows, by their bounds.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import type { GrammarBuilder, Sequence } from "./grammar.ts";
import { integerRange } from "./integer_range.ts";
import { type NumberBound, numberRange } from "./number_range.ts";
import type { Schema } from "./schema_intersection.ts";

/** Largest bound: beyond it doubles do not tell numbers of 15 digits apart. */
const LARGEST_BOUND = 1e15;

/** Keywords that bound numbers. */
export const NUMBER_KEYWORDS: readonly string[] = [
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
];

/** Whole numbers, or all numbers. */
export interface NumberKind {
  /** Where rules are made. */
  readonly builder: GrammarBuilder;
  /** Whether only whole numbers are meant. */
  readonly whole: boolean;
}

/**
 * The numbers between a schema's bounds; undefined where it has none.
 *
 * @throws {ConfigError} Where a bound is no number, or nothing lies between them.
 */
export function boundedNumbers(
  schema: Schema,
  place: string,
  { builder, whole }: NumberKind,
): Sequence | undefined {
  if (!NUMBER_KEYWORDS.some((key) => Object.hasOwn(schema, key))) return undefined;
  const refuse = (at: string, what: string) =>
    new ConfigError(`Cannot follow the schema at "${at}": ${what}`);
  const bound = (key: string, open: number): number => {
    const value = schema[key];
    if (value === undefined) return open;
    if (typeof value !== "number") throw refuse(`${place}/${key}`, "a number was wanted");
    if (Math.abs(value) <= LARGEST_BOUND) return value;
    throw refuse(`${place}/${key}`, `bounds beyond ${LARGEST_BOUND} cannot be followed`);
  };
  const min = tighter(bound("minimum", -Infinity), bound("exclusiveMinimum", -Infinity), Math.max);
  const max = tighter(bound("maximum", Infinity), bound("exclusiveMaximum", Infinity), Math.min);
  const found = whole ? wholeNumbers(builder, min, max) : numberRange(builder, { min, max });
  if (found.length > 0) return builder.choice(found);
  const kind = whole ? "whole number" : "number";
  throw refuse(place, `no ${kind} lies between ${min.value} and ${max.value}`);
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
