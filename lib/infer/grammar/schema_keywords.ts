/**
 * Which keywords of JSON Schema are for which type of value.
 *
 * @module
 */

import { NUMBER_KEYWORDS } from "./schema_numbers.ts";

/** Keywords that have a meaning for each type; those of another type do not restrict. */
export const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "patternProperties"],
  array: [
    ...["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
    ...["contains", "minContains", "maxContains"],
  ],
  string: ["minLength", "maxLength", "pattern", "format"],
  integer: NUMBER_KEYWORDS,
  number: NUMBER_KEYWORDS,
  boolean: [],
  null: [],
};

/** The types that keywords are for: what is written for a schema without `type`. */
export function typesOfKeywords(schema: Readonly<Record<string, unknown>>): string[] {
  const named = (type: string) => KEYWORDS[type]!.some((key) => Object.hasOwn(schema, key));
  return Object.keys(KEYWORDS).filter((type) => type !== "integer" && named(type));
}
