/**
 * Strings that a JSON Schema allows.
 *
 * @module
 */

import { didYouMean } from "../../base/nearest.ts";
import { quoted } from "../../base/quoted.ts";
import type { Sequence } from "./grammar.ts";
import { otherNames } from "./other_names.ts";
import { countsBetween, nothingFits, refusedSchema } from "./schema_checks.ts";
import { excludedBy } from "./schema_negation.ts";
import type { Schema } from "./schema_intersection.ts";
import type { PlacedSchema, SchemaWriter } from "./schema_writer.ts";
import { FORMATS } from "./string_formats.ts";
import {
  type Language,
  lengthLanguage,
  listLanguage,
  patternLanguage,
  StringLanguages,
} from "./string_languages.ts";

/** The strings that fit a schema. @throws {ConfigError} Where it cannot be followed. */
export function stringRule(
  { schema, place }: PlacedSchema,
  { builder, json }: SchemaWriter,
): Sequence {
  const excluded = excludedBy(schema);
  const texts = excluded.values.filter((value) => typeof value === "string");
  const length = countsBetween(schema, { least: "minLength", most: "maxLength", place });
  const bounded = schema.minLength !== undefined || schema.maxLength !== undefined;
  const patterns = wantedPatterns(schema, place);
  const context = { builder, char: json.char };
  const isPlain = texts.length === 0 && excluded.patterns.length === 0;
  if (isPlain && patterns.length === 0) {
    return bounded ? json.stringOf(builder.repeat([json.char], length)) : [json.string];
  }
  if (isPlain && patterns.length === 1 && !bounded) {
    return json.stringOf(followed(patterns[0]!)(context));
  }
  if (patterns.length === 0 && !bounded && excluded.patterns.length === 0) {
    return json.stringOf(otherNames(texts, { builder, json }));
  }
  const unwanted = excluded.patterns.map((pattern) => ({ pattern, place: `${place}/not` }));
  const wanted = [...patterns.map(followed), ...(bounded ? [lengthLanguage(length)] : [])];
  const languages = new StringLanguages([
    ...wanted,
    ...(texts.length === 0 ? [] : [listLanguage(texts)]),
    ...unwanted.map(followed),
  ]);
  const fits = (is: readonly boolean[]) => is.every((one, i) => one === (i < wanted.length));
  if (!languages.memberships().some(fits)) throw nothingFits(place, "no text fits all of it");
  return json.stringOf(languages.texts(builder, fits));
}

/** A pattern and where it stands. */
export interface PlacedPattern {
  /** A regular expression of ECMA-262, as `pattern` has it. */
  readonly pattern: string;
  /** Its place, for errors. */
  readonly place: string;
}

/** The patterns of `pattern` and `format`. */
function wantedPatterns({ pattern, format }: Schema, place: string): PlacedPattern[] {
  const found: PlacedPattern[] = [];
  if (pattern !== undefined) {
    if (typeof pattern !== "string") throw refusedSchema(`${place}/pattern`, "a text was wanted");
    found.push({ pattern, place: `${place}/pattern` });
  }
  if (format !== undefined) {
    const known = Object.hasOwn(FORMATS, String(format)) ? FORMATS[String(format)] : undefined;
    if (known === undefined) {
      const near = didYouMean(String(format), Object.keys(FORMATS));
      throw refusedSchema(
        `${place}/format`,
        `${quoted(String(format))} cannot be followed${near === undefined ? "" : ` (${near})`}`,
      );
    }
    found.push({ pattern: known, place: `${place}/format` });
  }
  return found;
}

/** A pattern as a language; what cannot be followed is refused with its place. */
export function followed({ pattern, place }: PlacedPattern): Language {
  return (context) => {
    try {
      return patternLanguage(pattern)(context);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw refusedSchema(place, error.message);
    }
  };
}
