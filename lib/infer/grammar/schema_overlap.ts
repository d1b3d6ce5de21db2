/**
 * Whether two JSON Schemas have no value in common, as far as that is plain to see.
 *
 * `oneOf` wants values that fit exactly one of its schemas. A grammar cannot say "and not that one":
 * the schemas have to be apart on their own.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { typesOfKeywords } from "./schema_keywords.ts";
import { restrictions, type Schema, schemaIntersection } from "./schema_intersection.ts";

/** Deepest place that is looked at; what lies deeper may be in common. */
const MOST_DEPTH = 16;

/** Most references and lists that are followed before a schema says something itself. */
const MOST_STEPS = 64;

const TYPES = ["object", "array", "string", "number", "boolean", "null"];

/** Finds what a `$ref` names. @throws {ConfigError} Where there is nothing. */
export type FindSchema = (target: string) => unknown;

/**
 * Whether no value that is written for either schema fits the other. Objects with `properties` are
 * written without other ones, and without a `type` values are of those that the keywords are for.
 */
export function areApart([one, other]: readonly [unknown, unknown], find: FindSchema): boolean {
  const together = (a: unknown, b: unknown) =>
    isEmpty({ allOf: [closed(a, find), b] }, { find, depth: 0 });
  return together(one, other) && together(other, one);
}

interface Search {
  readonly find: FindSchema;
  readonly depth: number;
}

/** The schema of the values that are written for one. */
function closed(schema: unknown, find: FindSchema): unknown {
  const own = flattened(schema, find);
  if (own === undefined || typeof own === "boolean") return own ?? schema;
  if ([own.anyOf, own.oneOf, own.enum, own.not].some((one) => one !== undefined)) return own;
  const named = typesOfKeywords(own);
  const isOpen = (own.properties !== undefined || own.patternProperties !== undefined) &&
    own.additionalProperties === undefined;
  return {
    ...own,
    ...(own.type === undefined && named.length > 0 ? { type: named } : {}),
    ...(isOpen ? { additionalProperties: false } : {}),
  };
}

/** A schema without `$ref` and `allOf`; undefined where they do not end or cannot be put together. */
export function flattened(schema: unknown, find: FindSchema): Schema | boolean | undefined {
  let now = schema;
  try {
    for (let step = 0; step < MOST_STEPS; step++) {
      if (now === null || typeof now !== "object") return now === false ? false : true;
      const { $ref, allOf, ...rest } = restrictions(now as Schema);
      if ($ref === undefined && allOf === undefined) return rest;
      const more = [
        ...($ref === undefined ? [] : [find(String($ref))]),
        ...(Array.isArray(allOf) ? allOf : []),
      ];
      now = more.reduce(schemaIntersection, rest);
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
  return undefined;
}

/** Whether it is plain that no value fits. */
function isEmpty(schema: unknown, { find, depth }: Search): boolean {
  const own = depth > MOST_DEPTH ? undefined : flattened(schema, find);
  if (own === undefined || own === true) return false;
  if (own === false) return true;
  const deeper = { find, depth: depth + 1 };
  for (const key of ["anyOf", "oneOf"]) {
    const { [key]: list, ...rest } = own;
    if (!Array.isArray(list)) continue;
    if (list.every((one) => isEmpty({ allOf: [rest, one] }, deeper))) return true;
  }
  const types = own.type === undefined ? TYPES : [own.type].flat();
  if (Array.isArray(own.enum)) return !own.enum.some((value) => mayFit(value, types, own));
  return types.every((type) => isEmptyOfType(type, own, deeper));
}

/** Whether a value of a list is of the types, and between the bounds. */
function mayFit(value: unknown, types: readonly unknown[], schema: Schema): boolean {
  if (!fitsType(value, types)) return false;
  if (typeof value === "number") {
    return !isEmptyOfNumbers({ ...schema, minimum: value, maximum: value }, schema);
  }
  if (typeof value !== "string") return true;
  const length = [...value].length;
  return length >= bound(schema.minLength, 0) && length <= bound(schema.maxLength, Infinity);
}

/** Whether a value is of one of some types of JSON. */
export function fitsType(value: unknown, types: readonly unknown[]): boolean {
  if (value === null) return types.includes("null");
  if (Array.isArray(value)) return types.includes("array");
  if (typeof value !== "number") return types.includes(typeof value);
  return types.includes("number") || (Number.isInteger(value) && types.includes("integer"));
}

function isEmptyOfType(type: unknown, schema: Schema, search: Search): boolean {
  if (type === "number" || type === "integer") return isEmptyOfNumbers(schema, {});
  if (type === "string") {
    return bound(schema.minLength, 0) > bound(schema.maxLength, Infinity);
  }
  if (type === "array") return isEmptyOfArrays(schema, search);
  if (type !== "object") return false;
  const required = Array.isArray(schema.required) ? schema.required : [];
  const properties = (schema.properties ?? {}) as Schema;
  return required.some((name) => {
    const has = Object.hasOwn(properties, String(name));
    if (!has && schema.patternProperties !== undefined) return false;
    return isEmpty(has ? properties[name] : schema.additionalProperties ?? true, search);
  });
}

function isEmptyOfArrays(schema: Schema, search: Search): boolean {
  const least = bound(schema.minItems, 0);
  if (least > bound(schema.maxItems, Infinity)) return true;
  const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
  if (prefix.slice(0, least).some((item) => isEmpty(item, search))) return true;
  return least > prefix.length && isEmpty(schema.items ?? true, search);
}

/** Whether no number lies between the bounds of both. */
function isEmptyOfNumbers(one: Schema, other: Schema): boolean {
  const low = Math.max(bound(one.minimum, -Infinity), bound(other.minimum, -Infinity));
  const high = Math.min(bound(one.maximum, Infinity), bound(other.maximum, Infinity));
  const above = Math.max(
    bound(one.exclusiveMinimum, -Infinity),
    bound(other.exclusiveMinimum, -Infinity),
  );
  const below = Math.min(
    bound(one.exclusiveMaximum, Infinity),
    bound(other.exclusiveMaximum, Infinity),
  );
  return low > high || low >= below || above >= high || above >= below;
}

function bound(value: unknown, open: number): number {
  return typeof value === "number" ? value : open;
}
