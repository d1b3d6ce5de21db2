/**
 * Conditions of a JSON Schema as alternatives: either what it asks for holds, or it does not.
 *
 * @module
 */

import type { Schema } from "./schema_intersection.ts";

/** Keywords that are conditions. */
export const CONDITIONS: readonly string[] = [
  ...["if", "then", "else", "dependentRequired", "dependentSchemas"],
];

/** A schema with its conditions written as `allOf` of `anyOf`. */
export function withoutConditions(schema: Schema): Schema {
  if (!CONDITIONS.some((key) => Object.hasOwn(schema, key))) return schema;
  const { if: asked, then, else: otherwise, dependentRequired, dependentSchemas, ...rest } = schema;
  const all = [
    ...(Array.isArray(rest.allOf) ? rest.allOf : []),
    ...condition(asked, then, otherwise),
    ...Object.entries(dependentRequired ?? {})
      .map(([name, others]) => whereMember(name, { required: others })),
    ...Object.entries(dependentSchemas ?? {}).map(([name, one]) => whereMember(name, one)),
  ];
  return all.length === 0 ? rest : { ...rest, allOf: all };
}

/** `if` without `then` and `else` says nothing, and they say nothing without it. */
function condition(asked: unknown, then: unknown, otherwise: unknown): Schema[] {
  if (asked === undefined || (then === undefined && otherwise === undefined)) return [];
  return [{
    anyOf: [
      { allOf: [asked, then ?? true] },
      { allOf: [{ not: asked }, otherwise ?? true] },
    ],
  }];
}

/** What holds where a value is an object with a member. */
function whereMember(name: string, schema: unknown): Schema {
  return { anyOf: [{ not: { type: "object", required: [name] } }, schema] };
}
