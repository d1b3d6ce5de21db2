/**
 * What writes the values of a schema, as the rules for one type see it.
 *
 * @module
 */

import type { GrammarBuilder, Sequence } from "./grammar.ts";
import type { JsonRules } from "./json_rules.ts";
import type { Schema } from "./schema_intersection.ts";

/** A schema and where it stands. */
export interface PlacedSchema {
  /** What values must fit; `true` and `false` are schemas too. */
  readonly schema: Schema;
  /** Its place, for errors. */
  readonly place: string;
}

/** Writes the values of schemas into one grammar. */
export interface SchemaWriter {
  /** Where rules are made. */
  readonly builder: GrammarBuilder;
  /** The rules of JSON itself. */
  readonly json: JsonRules;
  /** The values that fit a schema at a place. @throws {ConfigError} Where it cannot be followed. */
  value(schema: unknown, place: string): Sequence;
  /** What a `$ref` at a place names. @throws {ConfigError} Where there is nothing. */
  find(target: string, place: string): unknown;
}
