/**
 * What `contains` and its counts mean, before an array is written.
 *
 * @module
 */

import type { Schema } from "./schema_intersection.ts";

/** The schema of what does not fit. */
export function schemaOpposite(schema: unknown): unknown {
  return typeof schema === "boolean" ? !schema : { not: schema };
}

/**
 * A schema whose `contains` says its least count, and which says nothing where any array fits: counts
 * without a `contains` mean nothing.
 */
export function withContainsCounts(schema: Schema): Schema {
  const { contains, minContains, maxContains, ...rest } = schema;
  const isOpen = minContains === 0 && maxContains === undefined;
  if (contains === undefined || isOpen) return rest;
  const most = maxContains === undefined ? {} : { maxContains };
  return { ...rest, contains, minContains: minContains ?? 1, ...most };
}

/** What breaks a `contains` with its counts, as alternatives. */
export function brokenContains({ contains, minContains, maxContains }: Schema): Schema[] {
  if (contains === undefined) return [];
  const type = "array";
  const fewer = Number(minContains) - 1;
  const none = { type, items: schemaOpposite(contains) };
  const some = { type, contains, minContains: 0, maxContains: fewer };
  return [
    ...(fewer < 0 ? [] : [fewer === 0 ? none : some]),
    ...(maxContains === undefined
      ? []
      : [{ type, contains, minContains: Number(maxContains) + 1 }]),
  ];
}
