/**
 * Grammars of the JSON values that fit a JSON Schema.
 *
 * A keyword whose meaning would be lost is refused by name: what comes out fits the schema, or there
 * is nothing. Not all that fits is written: properties come in the order of the schema, others only
 * where it names none or allows them, and for `not` an integer there are no fractions. Source: JSON
 * Schema 2020-12, with `$ref` to places in the same schema.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { onOneLine, quoted } from "../../base/quoted.ts";
import { arrayRule } from "./array_rules.ts";
import { GrammarAutomaton } from "./automaton.ts";
import {
  type Grammar,
  GRAMMAR_LIMITS,
  GrammarBuilder,
  type GrammarSymbol,
  type Sequence,
} from "./grammar.ts";
import { JsonRules } from "./json_rules.ts";
import { checkNesting } from "./nesting.ts";
import { objectRule } from "./object_rules.ts";
import { listAt, NothingFits, nothingFits, refusedSchema, schemaAt } from "./schema_checks.ts";
import { CONDITIONS } from "./schema_conditions.ts";
import {
  canonicalJson,
  NOTES,
  restrictions,
  type Schema,
  schemaIntersection,
} from "./schema_intersection.ts";
import { KEYWORDS, typesOfKeywords } from "./schema_keywords.ts";
import { excludedBy, leavesOf, negation } from "./schema_negation.ts";
import { restrictedNumbers } from "./schema_numbers.ts";
import { areApart, fitsType } from "./schema_overlap.ts";
import { findInSchema } from "./schema_pointer.ts";
import type { SchemaWriter } from "./schema_writer.ts";
import { stringRule } from "./string_rules.ts";

const TYPES = Object.keys(KEYWORDS);
const WHOLE = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "not", "$ref"];
const KNOWN = new Set([...WHOLE, ...CONDITIONS, ...Object.values(KEYWORDS).flat()]);

/** Keywords with a schema that is looked at in another place than it was written. */
const MOVED = ["not", "if", "then", "else"];

/** Most references, and opposites, with different words beside them. */
const MOST_REFERENCES = 10_000;

/** Most references, and opposites, inside of one another. */
const MOST_REFERENCES_DEEP = 500;

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
    const reason = onOneLine(cause instanceof Error ? cause.message : String(cause));
    throw new ConfigError(`Cannot read the schema: ${reason}`, { cause });
  }
  return new SchemaReader(schema).grammar();
}

class SchemaReader {
  readonly #schema: unknown;
  readonly #builder = new GrammarBuilder();
  readonly #references = new Map<string, GrammarSymbol>();
  readonly #writer: SchemaWriter;
  #referencesDeep = 0;

  constructor(schema: unknown) {
    this.#schema = schema;
    this.#writer = {
      builder: this.#builder,
      json: new JsonRules(this.#builder),
      value: (one, place) => this.#value(one, place),
      find: (target, place) => findInSchema(this.#schema, { target, place }),
    };
  }

  grammar(): Grammar {
    if (this.#schema === false) throw nothingFits("#", "nothing fits the schema `false`");
    const root = this.#builder.rule([this.#value(this.#schema, "#")]);
    const grammar = this.#builder.build(root, { finite: true });
    if (grammar.rules[grammar.root]!.length > 0) return grammar;
    throw nothingFits("#", "no finite value fits");
  }

  /** The values that fit a schema at `place`. */
  #value(schema: unknown, place: string): Sequence {
    if (schema === true) return [this.#writer.json.value];
    if (schema === false) return [this.#builder.rule([])];
    const given = schemaAt(schema, place);
    this.#checkKeywords(given, place);
    const own = restrictions(given);
    if (own.$ref !== undefined) return [this.#reference(own, place)];
    if (own.allOf !== undefined) {
      const { allOf, ...rest } = own;
      const all = listAt(allOf, `${place}/allOf`);
      for (const [i, one] of all.entries()) this.#checked(one, `${place}/allOf/${i}`);
      return this.#value(all.reduce(schemaIntersection, rest), place);
    }
    if (own.not !== undefined && leavesOf(own.not) === undefined) {
      return [this.#opposite(own, place)];
    }
    for (const key of ["oneOf", "anyOf"] as const) {
      if (own[key] !== undefined) return this.#alternatives(own, key, place);
    }
    if (own.enum !== undefined) return this.#listed(own, place);
    const types = this.#types(own, place);
    return this.#anyFitting(types.map((type) => () => this.#typed(type, own, place)));
  }

  /** The values that fit one of several schemas: any, or exactly one. */
  #alternatives(schema: Schema, key: "anyOf" | "oneOf", place: string): Sequence {
    const { [key]: list, ...rest } = schema;
    const all = listAt(list, `${place}/${key}`).map((one, i) => {
      this.#checked(one, `${place}/${key}/${i}`);
      return schemaIntersection(rest, one);
    });
    if (key === "oneOf") this.#checkApart(all, place);
    return this.#anyFitting(all.map((one, i) => () => this.#value(one, `${place}/${key}/${i}`)));
  }

  /** A choice of those that any value fits. @throws {NothingFits} Where there is none. */
  #anyFitting(alternatives: readonly (() => Sequence)[]): Sequence {
    const found: Sequence[] = [];
    let empty: NothingFits | undefined;
    for (const alternative of alternatives) {
      try {
        found.push(alternative());
      } catch (error) {
        if (!(error instanceof NothingFits)) throw error;
        empty ??= error;
      }
    }
    if (found.length === 0 && empty !== undefined) throw empty;
    return this.#builder.choice(found);
  }

  /** What is written for one of the schemas of a `oneOf` may not fit another one. */
  #checkApart(all: readonly unknown[], place: string): void {
    const find = (target: string) => this.#writer.find(target, place);
    for (const [i, one] of all.entries()) {
      const j = all.findIndex((other, at) => at > i && !areApart([one, other], find));
      if (j < 0) continue;
      throw refusedSchema(
        `${place}/oneOf`,
        `a value may fit both of ${i} and ${j}, and has to fit one alone`,
        {
          hint: "write anyOf where both may fit, or tell them apart by type or a required constant",
        },
      );
    }
  }

  /** The values of a list that fit what else the schema says. */
  #listed({ enum: list, type, ...rest }: Schema, place: string): Sequence {
    const types = type === undefined ? TYPES : [type].flat();
    const { values: excluded } = excludedBy(rest);
    const unwanted = new Set(excluded.map(canonicalJson));
    const values = listAt(list, `${place}/enum`)
      .filter((value) => fitsType(value, types) && !unwanted.has(canonicalJson(value)));
    const fits = this.#membership(rest, place);
    const constants = values.filter(fits).map((value) => this.#writer.json.constant(value));
    return constants.length === 1 ? constants[0]! : [this.#builder.rule(constants)];
  }

  /** Whether a value fits a schema, by the schema's own grammar. */
  #membership({ not, ...given }: Schema, place: string): (value: unknown) => boolean {
    // A `not` of values was seen to; one of patterns is for strings alone.
    const schema = excludedBy({ not }).patterns.length === 0 ? given : { ...given, not };
    if (Object.keys(schema).length === 0) return () => true;
    const reader = new SchemaReader(this.#schema);
    const rule = reader.#builder.rule([reader.#value(schema, place)]);
    const automaton = new GrammarAutomaton(reader.#builder.build(rule, { finite: true }));
    return (value) => {
      if (value !== null && typeof value === "object") {
        throw refusedSchema(
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
    for (const key of MOVED) {
      if (schema[key] !== undefined) this.#checked(schema[key], `${place}/${key}`);
    }
    for (const key of Object.keys(schema)) {
      if (KNOWN.has(key) || NOTES.has(key)) continue;
      const near = didYouMean(key, [...KNOWN]);
      throw refusedSchema(
        place,
        `the keyword ${quoted(key)} cannot be followed${near === undefined ? "" : ` (${near})`}`,
      );
    }
  }

  /** The types that a schema allows: those it names, or those that its keywords are for. */
  #types(schema: Schema, place: string): string[] {
    if (schema.type === undefined) {
      const found = typesOfKeywords(schema);
      if (found.length > 0) return found;
      return schema.not === undefined ? ["any"] : TYPES.filter((type) => type !== "integer");
    }
    const types = Array.isArray(schema.type) ? schema.type : [schema.type];
    for (const type of types) {
      if (TYPES.includes(type)) continue;
      throw refusedSchema(`${place}/type`, `${quoted(String(type))} is no type of JSON`);
    }
    if (types.length === 0) throw refusedSchema(`${place}/type`, "it is empty");
    return types as string[];
  }

  #typed(type: string, schema: Schema, place: string): Sequence {
    const { json } = this.#writer;
    // What may not match a pattern is a string.
    if (type !== "string" && excludedBy(schema).patterns.length > 0) {
      throw nothingFits(`${place}/not`, `every ${type} matches a pattern of strings`);
    }
    if (type === "object") return objectRule({ schema, place }, this.#writer);
    if (type === "array") return arrayRule({ schema, place }, this.#writer);
    if (type === "string") return stringRule({ schema, place }, this.#writer);
    if (type === "boolean") return this.#constants([true, false], schema);
    if (type === "null") return this.#constants([null], schema);
    if (type === "any") return [json.value];
    const whole = type === "integer";
    const restricted = restrictedNumbers(schema, place, { builder: this.#builder, whole });
    return restricted ?? [whole ? json.integer : json.number];
  }

  /** Those of some constants that a schema does not leave out. */
  #constants(values: readonly unknown[], schema: Schema): Sequence {
    const { values: excluded } = excludedBy(schema);
    const left = values.filter((value) => !excluded.includes(value));
    if (left.length === 0) return [this.#builder.rule([])];
    return this.#builder.choice(left.map((value) => this.#writer.json.constant(value)));
  }

  /** A schema elsewhere, with what else is said here. */
  #reference(schema: Schema, place: string): GrammarSymbol {
    const { $ref, ...rest } = schema;
    const target = String($ref);
    return this.#shared(schema, place, () => {
      const found = this.#writer.find(target, place);
      this.#checked(found, target);
      return this.#value(schemaIntersection(rest, found), target);
    });
  }

  /** What does not fit the schema of a `not`, with what else is said here. */
  #opposite(schema: Schema, place: string): GrammarSymbol {
    const { not, ...rest } = schema;
    this.#checked(not, `${place}/not`);
    const named = ["properties", "patternProperties", "additionalProperties"];
    return this.#shared(schema, place, () => {
      const opposite = negation(not, {
        find: (target) => this.#writer.find(target, place),
        place: `${place}/not`,
        open: named.every((key) => rest[key] === undefined),
      });
      return this.#value(schemaIntersection(rest, opposite), place);
    });
  }

  /** The same rule for the same words: schemas may come back to themselves. */
  #shared(schema: Schema, place: string, make: () => Sequence): GrammarSymbol {
    const key = canonicalJson(schema);
    const known = this.#references.get(key);
    if (known !== undefined) return known;
    if (this.#references.size > MOST_REFERENCES) {
      throw refusedSchema(place, `more than ${MOST_REFERENCES} different references are followed`);
    }
    if (this.#referencesDeep === MOST_REFERENCES_DEEP) {
      throw refusedSchema(
        place,
        `more than ${MOST_REFERENCES_DEEP} references lead to one another`,
      );
    }
    const symbol = this.#builder.rule([]);
    this.#references.set(key, symbol);
    this.#referencesDeep++;
    try {
      this.#builder.define(symbol, [make()]);
    } finally {
      this.#referencesDeep--;
    }
    return symbol;
  }

  /** Refuses what is no schema, or has a keyword that would be lost. */
  #checked(schema: unknown, place: string): void {
    if (typeof schema === "boolean") return;
    this.#checkKeywords(schemaAt(schema, place), place);
  }
}
