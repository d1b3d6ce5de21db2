/**
 * The values that do not fit a JSON Schema, as a schema again.
 *
 * A value does not fit where it breaks one keyword: the opposite of a schema is one of the opposites
 * of its keywords (De Morgan). What is left inside is a `not` of a list of values or of a pattern, for
 * which there are rules. A keyword whose opposite no grammar gives is refused by name.
 *
 * @module
 */

import { quoted } from "../../base/quoted.ts";
import { brokenContains } from "./contains_counts.ts";
import { isRecord, refusedSchema } from "./schema_checks.ts";
import { restrictions, type Schema } from "./schema_intersection.ts";
import type { FindSchema } from "./schema_overlap.ts";

const TYPES = ["object", "array", "string", "number", "boolean", "null"];

/** What a `not` that is left in a schema leaves out. */
export interface Excluded {
  /** Values that may not come. */
  readonly values: readonly unknown[];
  /** Patterns that strings may not match. */
  readonly patterns: readonly string[];
}

/** The parts of a `not` that is one list, one pattern, or several of them; undefined for any other. */
export function leavesOf(not: unknown): readonly Schema[] | undefined {
  if (not === null || typeof not !== "object") return undefined;
  const own = restrictions(not as Schema);
  const keys = Object.keys(own);
  if (keys.length !== 1) return undefined;
  if (Array.isArray(own.enum) || typeof own.pattern === "string") return [own];
  if (!Array.isArray(own.anyOf)) return undefined;
  const each = own.anyOf.map(leavesOf);
  return each.every((leaves) => leaves !== undefined) ? each.flat() : undefined;
}

/** What the `not` of a schema leaves out; nothing where it has none. */
export function excludedBy({ not }: Schema): Excluded {
  const leaves = leavesOf(not) ?? [];
  return {
    values: leaves.flatMap((leaf) => leaf.enum as unknown[] ?? []),
    patterns: leaves.flatMap(({ pattern }) => pattern === undefined ? [] : [pattern as string]),
  };
}

/** Where a schema whose opposite is wanted stands. */
export interface NegationContext {
  /** Finds what a `$ref` names. */
  readonly find: FindSchema;
  /** Place of the schema, for errors. */
  readonly place: string;
  /** Whether objects may have members that nothing names. */
  readonly open: boolean;
}

/**
 * The schema of the values that do not fit; schemas inside of it stand in a `not` until they are looked
 * at.
 *
 * @throws {ConfigError} Naming a keyword whose opposite cannot be followed.
 */
export function negation(schema: unknown, context: NegationContext): unknown {
  if (typeof schema === "boolean") return !schema;
  const { contains, minContains, maxContains, ...own } = restrictions(schema as Schema);
  const found = [
    ...Object.entries(own).flatMap(([key, value]) => opposite(key, value, { ...context, own })),
    ...brokenContains({ contains, minContains, maxContains }),
  ];
  return found.length === 0 ? false : found.length === 1 ? found[0] : { anyOf: found };
}

/** What breaks one keyword, as alternatives. */
function opposite(key: string, value: unknown, context: KeywordContext): unknown[] {
  const many = OPPOSITES[key]?.(value, context);
  if (many !== undefined) return many;
  throw refusedSchema(context.place, `the opposite of ${quoted(key)} cannot be written`);
}

/** A keyword stands among others. */
type KeywordContext = NegationContext & { readonly own: Schema };

type Opposite = (value: unknown, context: KeywordContext) => unknown[] | undefined;

const not = (schema: unknown) => ({ not: schema });
const isList = (value: unknown): value is unknown[] => Array.isArray(value);

/** Objects in which one member is as said; the others are as the rest of the schema says. */
function memberIs(name: string, schema: unknown, { open }: NegationContext): Schema {
  return {
    type: "object",
    properties: Object.fromEntries([[name, schema]]),
    ...(schema === false ? {} : { required: [name] }),
    ...(open ? { additionalProperties: true } : {}),
  };
}

/** Counts are broken beyond them: `by` is the other keyword, `step` the way there. */
function beyond(type: string, by: string, step: 1 | -1): Opposite {
  return (value) => {
    if (!Number.isSafeInteger(value)) return undefined;
    const count = (value as number) + step;
    return count < 0 ? [] : [{ type, [by]: count }];
  };
}

const number = (by: string): Opposite => (value) => [{ type: "number", [by]: value }];

const OPPOSITES: Readonly<Record<string, Opposite>> = {
  // Numbers that are not whole are left out with the whole ones.
  type: (value) => {
    const named = [value].flat().map((type) => type === "integer" ? "number" : type);
    if (!named.every((type) => TYPES.includes(type as string))) return undefined;
    const others = TYPES.filter((type) => !named.includes(type));
    return others.length === 0 ? [] : [{ type: others }];
  },
  enum: (value) => [not({ enum: value })],
  pattern: (value) => [{ type: "string", not: { pattern: value } }],
  minimum: number("exclusiveMaximum"),
  maximum: number("exclusiveMinimum"),
  exclusiveMinimum: number("maximum"),
  exclusiveMaximum: number("minimum"),
  minLength: beyond("string", "maxLength", -1),
  maxLength: beyond("string", "minLength", 1),
  minItems: beyond("array", "maxItems", -1),
  maxItems: beyond("array", "minItems", 1),
  // Those after a prefix cannot be told from it.
  items: (value, { own }) =>
    own.prefixItems === undefined ? [{ type: "array", contains: not(value) }] : undefined,
  prefixItems: (value) =>
    !isList(value) ? undefined : value.map((item, i) => ({
      type: "array",
      minItems: i + 1,
      prefixItems: [...Array(i).fill(true), not(item)],
    })),
  properties: (value, context) =>
    !isRecord(value)
      ? undefined
      : Object.entries(value).map(([name, schema]) => memberIs(name, not(schema), context)),
  required: (value, context) =>
    isList(value) ? value.map((name) => memberIs(String(name), false, context)) : undefined,
  uniqueItems: (value) => value === false ? [] : undefined,
  allOf: (value) => isList(value) ? value.map(not) : undefined,
  // Those that are left as they are would be put together with the others again.
  anyOf: (value, context) =>
    isList(value)
      ? [{ allOf: value.map((one) => leavesOf(one) ? not(one) : negation(one, context)) }]
      : undefined,
  not: (value) => [value],
  $ref: (value, { find }) => [not(find(String(value)))],
};
