/**
 * What the parts of a JSON Schema have to be, and how a schema is refused.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { quoted } from "../../base/quoted.ts";
import type { Schema } from "./schema_intersection.ts";

/** A schema that is understood and that no value fits: beside others that have values it is nothing. */
export class NothingFits extends ConfigError {}

/** The error of a schema that cannot be followed, with the place of what is wrong. */
export function refusedSchema(
  place: string,
  what: string,
  { hint }: { readonly hint?: string } = {},
): ConfigError {
  return new ConfigError(refusal(place, what), { hint });
}

/** The error of a schema that no value fits, with the place that says so. */
export function nothingFits(place: string, what: string): NothingFits {
  return new NothingFits(refusal(place, what));
}

function refusal(place: string, what: string): string {
  return `Cannot follow the schema at ${quoted(place)}: ${what}`;
}

/** A value that has to be an array. @throws {ConfigError} */
export function listAt(value: unknown, place: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw refusedSchema(place, "an array was wanted");
}

/** A value that has to be an object. @throws {ConfigError} Saying what was wanted. */
export function recordAt(value: unknown, place: string): Schema {
  if (isRecord(value)) return value;
  throw refusedSchema(place, "an object was wanted");
}

/** A schema that is no boolean. @throws {ConfigError} */
export function schemaAt(value: unknown, place: string): Schema {
  if (isRecord(value)) return value;
  throw refusedSchema(place, "an object or a boolean was wanted");
}

/** Whether a value is an object and no array. */
export function isRecord(value: unknown): value is Schema {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** The keywords of a least and a most count, and where they stand. */
export interface CountKeywords {
  /** Name of the one. */
  readonly least: string;
  /** Name of the other. */
  readonly most: string;
  /** Place of the schema. */
  readonly place: string;
}

/** The least and the most that two keywords allow. @throws {NothingFits} When nothing lies between. */
export function countsBetween(
  schema: Schema,
  { least, most, place }: CountKeywords,
): { readonly min: number; readonly max: number } {
  const count = (key: string, open: number): number => {
    const value = schema[key] ?? open;
    if (value === open || (Number.isSafeInteger(value) && value as number >= 0)) {
      return value as number;
    }
    throw refusedSchema(`${place}/${key}`, "a whole number of at least 0 was wanted");
  };
  const [min, max] = [count(least, 0), count(most, Infinity)];
  if (max < min) throw nothingFits(place, `${most} ${max} is less than ${least} ${min}`);
  return { min, max };
}
