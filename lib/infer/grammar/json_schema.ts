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
import { otherNames } from "./other_names.ts";
import { integerRange } from "./integer_range.ts";
import { JsonRules } from "./json_rules.ts";
import { checkNesting } from "./nesting.ts";
import { parsePattern } from "./pattern.ts";
import { FORMATS } from "./string_formats.ts";

type Schema = Readonly<Record<string, unknown>>;

/** Keywords that describe and do not restrict. */
const NOTES = new Set([
  ...["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"],
  ...["examples", "deprecated", "readOnly", "writeOnly"],
]);

/** Keywords that have a meaning for each type; those of another type do not restrict. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  number: [],
  boolean: [],
  null: [],
};
const TYPES = Object.keys(KEYWORDS);
const WHOLE = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"];
const KNOWN = new Set([...WHOLE, ...Object.values(KEYWORDS).flat()]);

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
    return this.#builder.build(this.#builder.rule([this.#value(this.#schema, "#")]));
  }

  /** The values that fit a schema at `place`. */
  #value(schema: unknown, place: string): Sequence {
    if (schema === true) return [this.#json.value];
    if (schema === false) throw this.#refuse(place, "nothing fits the schema `false`");
    if (schema === null || typeof schema !== "object" || Array.isArray(schema)) {
      throw this.#refuse(place, "an object or a boolean was wanted");
    }
    const own = schema as Schema;
    this.#checkKeywords(own, place);
    if (own.$ref !== undefined) return [this.#reference(own, place)];
    if ("const" in own) return this.#json.constant(own.const);
    if (own.enum !== undefined) {
      const values = this.#array(own.enum, `${place}/enum`);
      return this.#builder.choice(values.map((value) => this.#json.constant(value)));
    }
    for (const key of ["anyOf", "oneOf"] as const) {
      if (own[key] === undefined) continue;
      const { [key]: list, ...rest } = own;
      const all = this.#array(list, `${place}/${key}`);
      return this.#builder.choice(all.map((one, i) => {
        const at = `${place}/${key}/${i}`;
        return this.#value(this.#merged(rest, one, at), at);
      }));
    }
    if (own.allOf !== undefined) {
      const { allOf, ...rest } = own;
      const all = this.#array(allOf, `${place}/allOf`);
      const merged = all.reduce<unknown>(
        (sum, one, i) => this.#merged(sum as Schema, this.#resolved(one), `${place}/allOf/${i}`),
        rest,
      );
      return this.#value(merged, place);
    }
    const types = this.#types(own, place);
    return this.#builder.choice(types.map((type) => this.#typed(type, own, place)));
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
      const found = TYPES.filter((type) => KEYWORDS[type]!.some((key) => key in schema));
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
    if (type === "integer") return this.#integer(schema, place);
    if (type === "boolean") {
      return this.#builder.choice([this.#json.constant(true), this.#json.constant(false)]);
    }
    if (type === "null") return this.#json.constant(null);
    if (type === "any") return [this.#json.value];
    for (const key of KEYWORDS.integer!) {
      if (key in schema) throw this.#refuse(place, `${quoted(key)} of a number cannot be followed`);
    }
    return [this.#json.number];
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
      if (typeof name === "string" && name in properties) continue;
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
    const max = this.#count(schema, "maxItems", place) ?? Infinity;
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

  #integer(schema: Schema, place: string): Sequence {
    const bound = (key: string): number | undefined => {
      const value = schema[key];
      if (value === undefined) return undefined;
      if (typeof value === "number" && Number.isFinite(value)) return value;
      throw this.#refuse(`${place}/${key}`, "a number was wanted");
    };
    const above = bound("exclusiveMinimum");
    const below = bound("exclusiveMaximum");
    const min = Math.max(
      Math.ceil(bound("minimum") ?? -Infinity),
      above === undefined ? -Infinity : Math.floor(above) + 1,
    );
    const max = Math.min(
      Math.floor(bound("maximum") ?? Infinity),
      below === undefined ? Infinity : Math.ceil(below) - 1,
    );
    if (min === -Infinity && max === Infinity) return [this.#json.integer];
    if (min > max) throw this.#refuse(place, `no whole number lies between ${min} and ${max}`);
    if (Math.max(Math.abs(min), Math.abs(max)) > 1e15 && Number.isFinite(min + max)) {
      throw this.#refuse(place, "bounds beyond 1e15 cannot be followed");
    }
    return integerRange(this.#builder, { min, max });
  }

  #reference(schema: Schema, place: string): GrammarSymbol {
    const target = String(schema.$ref);
    const known = this.#references.get(target);
    if (known !== undefined) return known;
    const symbol = this.#builder.rule();
    this.#references.set(target, symbol);
    this.#builder.define(symbol, [this.#value(this.#find(target, place), target)]);
    return symbol;
  }

  #find(target: string, place: string): unknown {
    if (target !== "#" && !target.startsWith("#/")) {
      throw this.#refuse(`${place}/$ref`, `${quoted(target)} is not in this schema`);
    }
    let found: unknown = this.#schema;
    for (const part of target.split("/").slice(1)) {
      const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
      const inside = found !== null && typeof found === "object" && Object.hasOwn(found, key);
      if (!inside) throw this.#refuse(`${place}/$ref`, `there is no ${quoted(target)}`);
      found = (found as Schema)[key];
    }
    return found;
  }

  /** A schema, or the one that it is only a reference to. */
  #resolved(schema: unknown): unknown {
    const target = (schema as Schema | null)?.$ref;
    return target === undefined ? schema : this.#find(String(target), "#");
  }

  /** Both schemas as one, where no keyword but `properties` and `required` stands in both. */
  #merged(one: Schema, other: unknown, place: string): unknown {
    const keys = Object.keys(one).filter((key) => !NOTES.has(key));
    if (keys.length === 0 || typeof other !== "object" || other === null) return other;
    const merged: Record<string, unknown> = { ...one };
    for (const [key, value] of Object.entries(other)) {
      const before = merged[key];
      if (
        before === undefined || NOTES.has(key) || JSON.stringify(before) === JSON.stringify(value)
      ) {
        merged[key] = value;
      } else if (key === "properties") merged[key] = { ...before as Schema, ...value as Schema };
      else if (key === "required") merged[key] = [...before as unknown[], ...value as unknown[]];
      else throw this.#refuse(place, `${quoted(key)} stands in two schemas that both hold`);
    }
    return merged;
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

  #record(value: unknown, place: string): Schema {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      return value as Schema;
    }
    throw this.#refuse(place, "an object was wanted");
  }

  #refuse(place: string, what: string): ConfigError {
    return new ConfigError(`Cannot follow the schema at ${quoted(place)}: ${what}`);
  }
}
