/**
 * Two JSON Schemas as one whose values fit both.
 *
 * Schemas inside of others are not gone into: they stand beside each other in an `allOf` until they
 * are looked at, so that schemas that come back to themselves end.
 *
 * Source: JSON Schema 2020-12.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { quoted } from "../../base/quoted.ts";
import { withContainsCounts } from "./contains_counts.ts";
import { commonMultiple, decimalOf } from "./multiples.ts";
import { withoutConditions } from "./schema_conditions.ts";

/** A schema that is no boolean. */
export type Schema = Readonly<Record<string, unknown>>;

/** Keywords that describe and do not restrict. */
export const NOTES: ReadonlySet<string> = new Set([
  ...["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"],
  ...["examples", "deprecated", "readOnly", "writeOnly"],
  ...["contentMediaType", "contentEncoding", "contentSchema"],
]);

/** Most alternatives that come of putting two lists of alternatives together. */
const MOST_ALTERNATIVES = 1_000;

/** Keywords of which the larger or the smaller number holds. */
const BOUNDS: Readonly<Record<string, (one: number, other: number) => number>> = {
  ...Object.fromEntries(
    ["minimum", "exclusiveMinimum", "minLength", "minItems", "minContains"].map((
      key,
    ) => [key, Math.max]),
  ),
  ...Object.fromEntries(
    ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxContains"].map((
      key,
    ) => [key, Math.min]),
  ),
};

/** Keywords that say together which member or item fits what. */
const INSIDE: ReadonlySet<string> = new Set([
  ...["properties", "additionalProperties", "patternProperties", "prefixItems", "items"],
]);

/** JSON of a value with the names of objects in order: equal values give equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1));
  });
}

/** A schema without what only describes; a constant is a list of one value, conditions are alternatives. */
export function restrictions(schema: Schema): Schema {
  return withoutConditions(withContainsCounts(withoutNotes(schema)));
}

function withoutNotes(schema: Schema): Schema {
  const own = Object.entries(schema).filter(([key]) => !NOTES.has(key) && key !== "const");
  if (!Object.hasOwn(schema, "const")) return Object.fromEntries(own);
  const { const: value, enum: list } = schema;
  const text = canonicalJson(value);
  const both = !Array.isArray(list) || list.some((one) => canonicalJson(one) === text);
  return { ...Object.fromEntries(own), enum: both ? [value] : [] };
}

/**
 * The schema of the values that fit both; `false` where it is plain that there are none.
 *
 * @throws {ConfigError} Naming a keyword that stands in both and cannot be put together.
 */
export function schemaIntersection(one: unknown, other: unknown): unknown {
  if (one === true || other === false) return other;
  if (other === true || one === false) return one;
  const [a, b] = [restrictions(one as Schema), restrictions(other as Schema)];
  const both = new Map(Object.entries(a));
  for (const [key, value] of Object.entries(b)) {
    if (INSIDE.has(key)) continue;
    const before = both.get(key);
    if (before === undefined || canonicalJson(before) === canonicalJson(value)) {
      both.set(key, value);
      continue;
    }
    const together = valueOfBoth(key, before, value);
    if (together === undefined) return false;
    for (const [name, joined] of together) both.set(name, joined);
  }
  for (const [key, value] of [...members(a, b), ...items(a, b)]) both.set(key, value);
  const all = [a, b].flatMap(({ allOf }) => Array.isArray(allOf) ? allOf : []);
  const references = [a, b].filter(({ $ref }) => $ref !== undefined);
  if (references.length === 2 && a.$ref !== b.$ref) all.push({ $ref: b.$ref });
  if (all.length > 0) both.set("allOf", all);
  return Object.fromEntries(both);
}

/** What a keyword becomes that stands in both with different values; undefined where nothing fits. */
function valueOfBoth(
  key: string,
  one: unknown,
  other: unknown,
): readonly (readonly [string, unknown])[] | undefined {
  const join = BOUNDS[key];
  if (join !== undefined && typeof one === "number" && typeof other === "number") {
    return [[key, join(one, other)]];
  }
  if (key === "multipleOf" && Number.isFinite(one) && Number.isFinite(other)) {
    const { units, places } = commonMultiple(decimalOf(one as number), decimalOf(other as number));
    return [[key, Number(`${units}e-${places}`)]];
  }
  if (key === "uniqueItems") return [[key, one === true || other === true]];
  if (key === "not") return [[key, { anyOf: [one, other] }]];
  if (key === "$ref") return [[key, one]];
  if (key === "allOf") return [];
  if (key === "type") {
    const types = commonTypes(one, other);
    return types.length === 0 ? undefined : [[key, types]];
  }
  if (!Array.isArray(one) || !Array.isArray(other)) throw standsTwice(key);
  if (key === "required") return [[key, [...new Set([...one, ...other])]]];
  if (key === "enum") {
    const texts = new Set(other.map(canonicalJson));
    const values = one.filter((value) => texts.has(canonicalJson(value)));
    return values.length === 0 ? undefined : [[key, values]];
  }
  if (key !== "anyOf" && key !== "oneOf") throw standsTwice(key);
  if (one.length * other.length > MOST_ALTERNATIVES) {
    throw new ConfigError(
      `Cannot follow the schema: its alternatives and conditions have more than ` +
        `${MOST_ALTERNATIVES} combinations`,
    );
  }
  return [[key, one.flatMap((first) => other.map((second) => ({ allOf: [first, second] })))]];
}

function standsTwice(key: string): ConfigError {
  return new ConfigError(
    `Cannot follow the schema: ${quoted(key)} stands in two schemas that both hold`,
  );
}

/** Types in both; a whole number is a number. */
function commonTypes(one: unknown, other: unknown): unknown[] {
  const [a, b] = [one, other].map((type) => Array.isArray(type) ? type : [type]);
  const has = (types: unknown[], type: unknown) =>
    types.includes(type) || (type === "integer" && types.includes("number"));
  return [...new Set([...a!, ...b!])].filter((type) => has(a!, type) && has(b!, type));
}

/** Properties of both: one that only one of them names is among the additional ones of the other. */
function members(a: Schema, b: Schema): [string, unknown][] {
  const found = matchingMembers(a, b);
  if (a.properties !== undefined || b.properties !== undefined) {
    const [own, others] = [a, b].map(({ properties }) => record(properties, "properties"));
    const names = new Set([...Object.keys(own!), ...Object.keys(others!)]);
    const pick = (schema: Schema, list: Schema, name: string) =>
      Object.hasOwn(list, name) ? list[name] : schema.additionalProperties ?? true;
    const joined = [...names].map((
      name,
    ) => [name, beside(pick(a, own!, name), pick(b, others!, name))]);
    found.push(["properties", Object.fromEntries(joined)]);
  }
  const rest = joinedRest(a, b, "additionalProperties");
  if (rest !== undefined) found.push(["additionalProperties", rest]);
  return found;
}

/**
 * Members by patterns of both. They hold beside the properties, so that each side keeps its own; but
 * what is additional on one side depends on the patterns of that side alone.
 */
function matchingMembers(a: Schema, b: Schema): [string, unknown][] {
  if (a.patternProperties === undefined && b.patternProperties === undefined) return [];
  for (const [one, other] of [[a, b], [b, a]] as const) {
    const isAlone = ["properties", "patternProperties", "additionalProperties"]
      .every((key) => other[key] === undefined);
    if (!isAlone && (one.additionalProperties ?? true) !== true) {
      throw standsTwice("patternProperties");
    }
  }
  const [own, others] = [a, b].map((schema) =>
    record(schema.patternProperties, "patternProperties")
  );
  const joined = [...new Set([...Object.keys(own!), ...Object.keys(others!)])].map((pattern) => {
    const each = [own!, others!].map((list) => Object.hasOwn(list, pattern) ? list[pattern] : true);
    return [pattern, beside(each[0], each[1])];
  });
  return [["patternProperties", Object.fromEntries(joined)]];
}

/** Items of both, place by place. */
function items(a: Schema, b: Schema): [string, unknown][] {
  const found: [string, unknown][] = [];
  if (a.prefixItems !== undefined || b.prefixItems !== undefined) {
    const [own, others] = [a, b].map(({ prefixItems }) => list(prefixItems, "prefixItems"));
    const length = Math.max(own!.length, others!.length);
    const pick = (schema: Schema, first: readonly unknown[], i: number) =>
      i < first.length ? first[i] : schema.items ?? true;
    const joined = Array.from({ length }, (_, i) => beside(pick(a, own!, i), pick(b, others!, i)));
    found.push(["prefixItems", joined]);
  }
  const rest = joinedRest(a, b, "items");
  if (rest !== undefined) found.push(["items", rest]);
  return found;
}

function joinedRest(a: Schema, b: Schema, key: "additionalProperties" | "items"): unknown {
  if (a[key] === undefined && b[key] === undefined) return undefined;
  return beside(a[key] ?? true, b[key] ?? true);
}

/** Both schemas, looked at later. */
function beside(one: unknown, other: unknown): unknown {
  if (one === true || other === false) return other;
  if (other === true || one === false) return one;
  return canonicalJson(one) === canonicalJson(other) ? one : { allOf: [one, other] };
}

function record(value: unknown, key: string): Schema {
  const given = value ?? {};
  if (typeof given === "object" && !Array.isArray(given)) return given as Schema;
  throw new ConfigError(`Cannot follow the schema: ${quoted(key)} is no object`);
}

function list(value: unknown, key: string): readonly unknown[] {
  const given = value ?? [];
  if (Array.isArray(given)) return given;
  throw new ConfigError(`Cannot follow the schema: ${quoted(key)} is no array`);
}
