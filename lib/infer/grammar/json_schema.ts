/**
 * Grammars of the JSON values that fit a JSON Schema.
 *
 * A keyword whose meaning would be lost is refused by name: what comes out fits the schema, or there
 * is nothing. Properties come in the order of the schema. Source: JSON Schema 2020-12, with `$ref` to
 * places in the same schema.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { quoted } from "../../base/quoted.ts";
import {
  type Grammar,
  GRAMMAR_LIMITS,
  GrammarBuilder,
  type GrammarSymbol,
  type Sequence,
} from "./grammar.ts";
import { GrammarAutomaton } from "./automaton.ts";
import { otherNames } from "./other_names.ts";
import { JsonRules } from "./json_rules.ts";
import { checkNesting } from "./nesting.ts";
import { parsePattern } from "./pattern.ts";
import {
  canonicalJson,
  NOTES,
  restrictions,
  type Schema,
  schemaIntersection,
} from "./schema_intersection.ts";
import { KEYWORDS, typesOfKeywords } from "./schema_keywords.ts";
import { boundedNumbers } from "./schema_numbers.ts";
import { findInSchema } from "./schema_pointer.ts";
import { areApart, fitsType } from "./schema_overlap.ts";
import { FORMATS } from "./string_formats.ts";

const TYPES = Object.keys(KEYWORDS);
const WHOLE = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"];
const KNOWN = new Set([...WHOLE, ...Object.values(KEYWORDS).flat()]);

/** Most references with different words beside them. */
const MOST_REFERENCES = 10_000;

/**
 * Reads a schema.
 *
 * @throws {ConfigError} With the place of a keyword that is wrong or cannot be followed.
 */
export function parseJsonSchema(source: string): Grammar {
  if (source.length > GRAMMAR_LIMITS.source) {
    throw new ConfigError(
      `Cannot read the schema: it has ${source.length} characters, ` +
        `at most ${GRAMMAR_LIMITS.source} was wanted`,
    );
  }
  checkNesting(source);
  let schema: unknown;
  try {
    schema = JSON.parse(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`Cannot read the schema: ${reason}`, { cause });
  }
  return new SchemaReader(schema).grammar();
}

class SchemaReader {
  readonly #schema: unknown;
  readonly #builder = new GrammarBuilder();
  readonly #json = new JsonRules(this.#builder);
  readonly #references = new Map<string, GrammarSymbol>();

  constructor(schema: unknown) {
    this.#schema = schema;
  }

  grammar(): Grammar {
    if (this.#schema === false) throw this.#refuse("#", "nothing fits the schema `false`");
    const root = this.#builder.rule([this.#value(this.#schema, "#")]);
    const grammar = this.#builder.build(root, { finite: true });
    if (grammar.rules[grammar.root]!.length > 0) return grammar;
    throw this.#refuse("#", "no finite value fits");
  }

  /** The values that fit a schema at `place`. */
  #value(schema: unknown, place: string): Sequence {
    if (schema === true) return [this.#json.value];
    if (schema === false) return [this.#builder.rule([])];
    const given = this.#record(schema, place, "an object or a boolean was wanted");
    this.#checkKeywords(given, place);
    const own = restrictions(given);
    if (own.$ref !== undefined) return [this.#reference(own, place)];
    if (own.allOf !== undefined) {
      const { allOf, ...rest } = own;
      const all = this.#array(allOf, `${place}/allOf`);
      for (const [i, one] of all.entries()) this.#checked(one, `${place}/allOf/${i}`);
      return this.#value(all.reduce(schemaIntersection, rest), place);
    }
    for (const key of ["oneOf", "anyOf"] as const) {
      if (own[key] !== undefined) return this.#alternatives(own, key, place);
    }
    if (own.enum !== undefined) return this.#listed(own, place);
    const types = this.#types(own, place);
    return this.#builder.choice(types.map((type) => this.#typed(type, own, place)));
  }

  /** The values that fit one of several schemas: any, or exactly one. */
  #alternatives(schema: Schema, key: "anyOf" | "oneOf", place: string): Sequence {
    const { [key]: list, ...rest } = schema;
    const all = this.#array(list, `${place}/${key}`).map((one, i) => {
      this.#checked(one, `${place}/${key}/${i}`);
      return schemaIntersection(rest, one);
    });
    if (key === "oneOf") this.#checkApart(all, place);
    return this.#builder.choice(all.map((one, i) => this.#value(one, `${place}/${key}/${i}`)));
  }

  /** What is written for one of the schemas of a `oneOf` may not fit another one. */
  #checkApart(all: readonly unknown[], place: string): void {
    const find = (target: string) => findInSchema(this.#schema, { target, place });
    for (const [i, one] of all.entries()) {
      const j = all.findIndex((other, at) => at > i && !areApart([one, other], find));
      if (j < 0) continue;
      throw this.#refuse(
        `${place}/oneOf`,
        `a value may fit both of ${i} and ${j}, and has to fit one alone`,
        "write anyOf where both may fit, or tell them apart by type or a required constant",
      );
    }
  }

  /** The values of a list that fit what else the schema says. */
  #listed({ enum: list, type, ...rest }: Schema, place: string): Sequence {
    const types = type === undefined ? TYPES : [type].flat();
    const values = this.#array(list, `${place}/enum`).filter((value) => fitsType(value, types));
    const fits = this.#membership(rest, place);
    const constants = values.filter(fits).map((value) => this.#json.constant(value));
    return constants.length === 1 ? constants[0]! : [this.#builder.rule(constants)];
  }

  /** Whether a value fits a schema, by the schema's own grammar. */
  #membership(schema: Schema, place: string): (value: unknown) => boolean {
    if (Object.keys(schema).length === 0) return () => true;
    const reader = new SchemaReader(this.#schema);
    const rule = reader.#builder.rule([reader.#value(schema, place)]);
    const automaton = new GrammarAutomaton(reader.#builder.build(rule, { finite: true }));
    return (value) => {
      if (value !== null && typeof value === "object") {
        throw this.#refuse(
          place,
          "a list of objects or arrays and other keywords exclude each other",
        );
      }
      const classes = Array.from(
        JSON.stringify(value),
        (char) => automaton.classes.of(char.codePointAt(0)!),
      );
      const end = classes.reduce((state, one) => automaton.step(state, one), automaton.start);
      // Keywords are for one type each: a value of another type fits.
      const isMeant = fitsType(value, this.#types(schema, place)) || schema.type !== undefined;
      return !isMeant || automaton.accepts(end);
    };
  }

  #checkKeywords(schema: Schema, place: string): void {
    for (const key of Object.keys(schema)) {
      if (KNOWN.has(key) || NOTES.has(key)) continue;
      const near = didYouMean(key, [...KNOWN]);
      throw this.#refuse(
        place,
        `the keyword ${quoted(key)} cannot be followed${near === undefined ? "" : ` (${near})`}`,
      );
    }
  }

  /** The types that a schema allows: those it names, or those that its keywords are for. */
  #types(schema: Schema, place: string): string[] {
    if (schema.type === undefined) {
      const found = typesOfKeywords(schema);
      return found.length === 0 ? ["any"] : found;
    }
    const types = Array.isArray(schema.type) ? schema.type : [schema.type];
    for (const type of types) {
      if (TYPES.includes(type)) continue;
      throw this.#refuse(`${place}/type`, `${quoted(String(type))} is no type of JSON`);
    }
    if (types.length === 0) throw this.#refuse(`${place}/type`, "it is empty");
    return types as string[];
  }

  #typed(type: string, schema: Schema, place: string): Sequence {
    if (type === "object") return this.#object(schema, place);
    if (type === "array") return this.#arrayOf(schema, place);
    if (type === "string") return this.#string(schema, place);
    if (type === "boolean") {
      return this.#builder.choice([this.#json.constant(true), this.#json.constant(false)]);
    }
    if (type === "null") return this.#json.constant(null);
    if (type === "any") return [this.#json.value];
    const whole = type === "integer";
    const bounded = boundedNumbers(schema, place, { builder: this.#builder, whole });
    return bounded ?? [whole ? this.#json.integer : this.#json.number];
  }

  #object(schema: Schema, place: string): Sequence {
    const properties = this.#record(schema.properties ?? {}, `${place}/properties`);
    const required = this.#array(schema.required ?? [], `${place}/required`);
    const additional = schema.additionalProperties ?? (schema.properties === undefined);
    const members = Object.entries(properties).map(([name, value]) => ({
      name,
      required: required.includes(name),
      sequence: this.#member(name, this.#value(value, `${place}/properties/${name}`)),
    }));
    for (const name of required) {
      if (typeof name === "string" && Object.hasOwn(properties, name)) continue;
      if (additional === false) {
        throw this.#refuse(`${place}/required`, `there is no property ${quoted(String(name))}`);
      }
      const value = additional === true ? {} : additional;
      const at = `${place}/additionalProperties`;
      const sequence = this.#member(String(name), this.#value(value, at));
      members.push({ name: String(name), required: true, sequence });
    }
    const rest = additional === false
      ? undefined
      : this.#additional(additional, members.map(({ name }) => name), place);
    return this.#json.enclosed("{}", this.#members(members, rest));
  }

  #member(name: string, value: Sequence): Sequence {
    return [...this.#json.constant(name), ...this.#json.colon, ...value];
  }

  /** Members with other names: any name that is none of the others. */
  #additional(schema: unknown, names: readonly string[], place: string): Sequence {
    const value = this.#value(schema, `${place}/additionalProperties`);
    const name = this.#json.stringOf(
      otherNames(names, { builder: this.#builder, json: this.#json }),
    );
    return [this.#builder.rule([[...name, ...this.#json.colon, ...value]])];
  }

  /** Members in order; those that are not required may be left out, with their commas. */
  #members(
    members: readonly { readonly required: boolean; readonly sequence: Sequence }[],
    rest: Sequence | undefined,
  ): Sequence {
    const b = this.#builder;
    const comma = this.#json.comma;
    const more = rest === undefined ? [] : b.repeat([...comma, ...rest], { min: 0, max: Infinity });
    // after[i]: what can follow where something stands before member i; from[i]: where nothing does.
    let after: Sequence = more;
    let from: Sequence = rest === undefined ? [] : b.repeat([...rest, ...more], { min: 0, max: 1 });
    for (const member of members.toReversed()) {
      const withIt = [...member.sequence, ...after];
      const first = member.required ? [withIt] : [withIt, from];
      const next = member.required ? [[...comma, ...withIt]] : [[...comma, ...withIt], after];
      from = b.choice(first);
      after = b.choice(next);
    }
    return from;
  }

  #arrayOf(schema: Schema, place: string): Sequence {
    const prefix = this.#array(schema.prefixItems ?? [], `${place}/prefixItems`);
    const min = this.#count(schema, "minItems", place) ?? 0;
    const closed = prefix.indexOf(false);
    const most = this.#count(schema, "maxItems", place) ?? Infinity;
    const max = closed < 0 ? most : Math.min(most, closed);
    if (max < min) throw this.#refuse(place, `maxItems ${max} is less than minItems ${min}`);
    const items = schema.items ?? true;
    const fixed = prefix.map((one, i) => [
      this.#builder.rule([this.#value(one, `${place}/prefixItems/${i}`)]),
    ]);
    if (fixed.length === 0) {
      if (items === false) return this.#json.enclosed("[]", []);
      const item = [this.#builder.rule([this.#value(items, `${place}/items`)])];
      return this.#json.enclosed("[]", this.#json.list(item, { min, max }));
    }
    // Without a least count a tuple is written whole.
    const comma = this.#json.comma;
    const head = fixed.slice(0, max).flatMap((one, i) => i === 0 ? one : [...comma, ...one]);
    const left = Math.max(0, max - fixed.length);
    if (items === false || left === 0) return this.#json.enclosed("[]", head);
    const item = [...comma, this.#builder.rule([this.#value(items, `${place}/items`)])];
    const least = Math.max(0, min - fixed.length);
    return this.#json.enclosed("[]", [
      ...head,
      ...this.#builder.repeat(item, { min: least, max: left }),
    ]);
  }

  #string(schema: Schema, place: string): Sequence {
    const { pattern, format } = schema;
    const min = this.#count(schema, "minLength", place) ?? 0;
    const max = this.#count(schema, "maxLength", place) ?? Infinity;
    const bounded = schema.minLength !== undefined || schema.maxLength !== undefined;
    if (max < min) throw this.#refuse(place, `maxLength ${max} is less than minLength ${min}`);
    if (pattern !== undefined || format !== undefined) {
      if (bounded || (pattern !== undefined && format !== undefined)) {
        throw this.#refuse(place, "pattern, format and a length exclude each other here");
      }
      return this.#json.stringOf(this.#patterned(schema, place));
    }
    if (!bounded) return [this.#json.string];
    return this.#json.stringOf(this.#builder.repeat([this.#json.char], { min, max }));
  }

  #patterned({ pattern, format }: Schema, place: string): Sequence {
    if (pattern === undefined) {
      const known = FORMATS[String(format)];
      if (known === undefined) {
        const near = didYouMean(String(format), Object.keys(FORMATS));
        throw this.#refuse(
          `${place}/format`,
          `${quoted(String(format))} cannot be followed${near === undefined ? "" : ` (${near})`}`,
        );
      }
      return parsePattern(known, { builder: this.#builder, char: this.#json.char });
    }
    if (typeof pattern !== "string") throw this.#refuse(`${place}/pattern`, "a text was wanted");
    try {
      return parsePattern(pattern, { builder: this.#builder, char: this.#json.char });
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw this.#refuse(`${place}/pattern`, error.message);
    }
  }

  /** A schema elsewhere, with what else is said here: the same for the same words. */
  #reference(schema: Schema, place: string): GrammarSymbol {
    const { $ref, ...rest } = schema;
    const target = String($ref);
    const key = canonicalJson(schema);
    const known = this.#references.get(key);
    if (known !== undefined) return known;
    if (this.#references.size > MOST_REFERENCES) {
      throw this.#refuse(place, `more than ${MOST_REFERENCES} different references are followed`);
    }
    const symbol = this.#builder.rule();
    this.#references.set(key, symbol);
    const found = findInSchema(this.#schema, { target, place });
    this.#checked(found, target);
    this.#builder.define(symbol, [this.#value(schemaIntersection(rest, found), target)]);
    return symbol;
  }

  /** Refuses what is no schema, or has a keyword that would be lost. */
  #checked(schema: unknown, place: string): void {
    if (typeof schema === "boolean") return;
    this.#checkKeywords(this.#record(schema, place, "an object or a boolean was wanted"), place);
  }

  #count(schema: Schema, key: string, place: string): number | undefined {
    const value = schema[key];
    if (value === undefined) return undefined;
    if (Number.isSafeInteger(value) && value as number >= 0) return value as number;
    throw this.#refuse(`${place}/${key}`, "a whole number of at least 0 was wanted");
  }

  #array(value: unknown, place: string): unknown[] {
    if (Array.isArray(value)) return value;
    throw this.#refuse(place, "an array was wanted");
  }

  #record(value: unknown, place: string, wanted = "an object was wanted"): Schema {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      return value as Schema;
    }
    throw this.#refuse(place, wanted);
  }

  #refuse(place: string, what: string, hint?: string): ConfigError {
    const message = `Cannot follow the schema at ${quoted(place)}: ${what}`;
    return new ConfigError(message, hint === undefined ? {} : { hint });
  }
}
