/**
 * How deeply JSON is nested, told without descending into it.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { GRAMMAR_LIMITS } from "./grammar.ts";

/**
 * Refuses a schema that is nested deeper than any: parsers descend by calls.
 *
 * @throws {ConfigError} Saying the bound.
 */
export function checkNesting(source: string): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < source.length; i++) {
    const char = source[i];
    if (inString && char === "\\") i++;
    else if (char === '"') inString = !inString;
    else if (!inString && (char === "{" || char === "[")) depth++;
    else if (!inString && (char === "}" || char === "]")) depth--;
    if (depth > GRAMMAR_LIMITS.depth) {
      throw new ConfigError(
        `Cannot read the schema: it is nested more than ${GRAMMAR_LIMITS.depth} deep`,
      );
    }
  }
}
