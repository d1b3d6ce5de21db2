/**
 * All values that a JSON Schema can have, where they are few.
 *
 * @module
 */

import { canonicalJson, type Schema } from "./schema_intersection.ts";
import { type FindSchema, flattened } from "./schema_overlap.ts";

/** Most whole numbers between two bounds that are listed. */
const MOST_NUMBERS = 64;

/** Most lists of alternatives inside of one another. */
const MOST_DEPTH = 16;

/**
 * A list that holds every value that fits, and may hold others; undefined where the schema does not
 * come to a list of values.
 */
export function valuesOf(
  schema: unknown,
  { find, depth = 0 }: { readonly find: FindSchema; readonly depth?: number },
): unknown[] | undefined {
  const own = depth > MOST_DEPTH ? undefined : flattened(schema, find);
  if (own === undefined || own === true) return undefined;
  if (own === false) return [];
  if (Array.isArray(own.enum)) return distinct(own.enum);
  for (const key of ["anyOf", "oneOf"]) {
    const list = own[key];
    if (!Array.isArray(list)) continue;
    const each = list.map((one) => valuesOf(one, { find, depth: depth + 1 }));
    if (each.every((values) => values !== undefined)) return distinct(each.flat());
  }
  return valuesOfTypes(own);
}

function valuesOfTypes(schema: Schema): unknown[] | undefined {
  if (schema.type === undefined) return undefined;
  const each = [schema.type].flat().map((type) => {
    if (type === "boolean") return [true, false];
    if (type === "null") return [null];
    return type === "integer" ? wholeNumbers(schema) : undefined;
  });
  return each.every((values) => values !== undefined) ? distinct(each.flat()) : undefined;
}

function wholeNumbers(schema: Schema): number[] | undefined {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (typeof low !== "number" || typeof high !== "number" || high - low > MOST_NUMBERS) {
    return undefined;
  }
  const found: number[] = [];
  for (let value = Math.ceil(low); value <= high; value++) found.push(value);
  return found;
}

function distinct(values: readonly unknown[]): unknown[] {
  return [...new Map(values.map((value) => [canonicalJson(value), value])).values()];
}
