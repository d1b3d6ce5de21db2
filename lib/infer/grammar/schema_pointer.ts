/**
 * What a `$ref` of a JSON Schema names.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { quoted } from "../../base/quoted.ts";
import type { Schema } from "./schema_intersection.ts";

/** A `$ref` and where it stands. */
export interface SchemaReference {
  /** What it says. */
  readonly target: string;
  /** Where it stands. */
  readonly place: string;
}

/**
 * The schema at a place in the same file, such as `#/$defs/node` (RFC 6901 in a fragment).
 *
 * @throws {ConfigError} Where the reference leads elsewhere or to nothing.
 */
export function findInSchema(schema: unknown, { target, place }: SchemaReference): unknown {
  const refuse = (what: string) =>
    new ConfigError(`Cannot follow the schema at ${quoted(`${place}/$ref`)}: ${what}`);
  if (target !== "#" && !target.startsWith("#/")) {
    throw refuse(`${quoted(target)} is not in this schema`);
  }
  let found = schema;
  for (const part of target.split("/").slice(1)) {
    const key = unescaped(part);
    const inside = found !== null && typeof found === "object" && key !== undefined &&
      Object.hasOwn(found, key);
    if (!inside) throw refuse(`there is no ${quoted(target)}`);
    found = (found as Schema)[key];
  }
  return found;
}

/** A part of a pointer as it was meant; undefined where its escapes are none. */
function unescaped(part: string): string | undefined {
  try {
    return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    return undefined;
  }
}
