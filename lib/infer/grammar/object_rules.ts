/**
 * Objects that a JSON Schema allows: named members in the order of the schema, then others.
 *
 * @module
 */

import { quoted } from "../../base/quoted.ts";
import type { Sequence } from "./grammar.ts";
import { otherNames } from "./other_names.ts";
import { listAt, nothingFits, recordAt, refusedSchema } from "./schema_checks.ts";
import { type Schema, schemaIntersection } from "./schema_intersection.ts";
import { excludedBy } from "./schema_negation.ts";
import type { PlacedSchema, SchemaWriter } from "./schema_writer.ts";
import { listLanguage, type Membership, StringLanguages } from "./string_languages.ts";
import { followed } from "./string_rules.ts";

/** A member with its name. */
interface Member {
  readonly name: string;
  readonly required: boolean;
  readonly sequence: Sequence;
}

/** The objects that fit a schema. @throws {ConfigError} Where it cannot be followed. */
export function objectRule(placed: PlacedSchema, writer: SchemaWriter): Sequence {
  return new ObjectRules(placed, writer).rule();
}

class ObjectRules {
  readonly #schema: Schema;
  readonly #place: string;
  readonly #writer: SchemaWriter;
  readonly #properties: Schema;
  /** The patterns of names, with what their members have to fit. */
  readonly #patterns: readonly (readonly [string, unknown])[];
  /** What members have to fit that nothing names. */
  readonly #additional: unknown;
  /** Which patterns a name matches, and whether it is one of the properties. */
  readonly #names: StringLanguages | undefined;

  constructor({ schema, place }: PlacedSchema, writer: SchemaWriter) {
    this.#schema = schema;
    this.#place = place;
    this.#writer = writer;
    this.#properties = recordAt(schema.properties ?? {}, `${place}/properties`);
    const at = `${place}/patternProperties`;
    this.#patterns = Object.entries(recordAt(schema.patternProperties ?? {}, at));
    const isOpen = schema.properties === undefined && schema.patternProperties === undefined;
    this.#additional = schema.additionalProperties ?? isOpen;
    if (this.#patterns.length === 0) return;
    const languages = this.#patterns.map(([pattern]) =>
      followed({ pattern, place: `${at}/${pattern}` })
    );
    const named = [...Object.keys(this.#properties), ...this.#required().map(String)];
    this.#names = new StringLanguages([...languages, listLanguage(named)]);
  }

  rule(): Sequence {
    if (excludedBy(this.#schema).values.some((value) => typeof value === "object" && value)) {
      throw refusedSchema(
        `${this.#place}/not`,
        "an object or array cannot be left out by its value",
      );
    }
    const members = [...this.#named(), ...this.#requiredOthers()];
    const names = members.map(({ name }) => name);
    const others = this.#patterns.length === 0 ? this.#anyOther(names) : this.#matching();
    return this.#writer.json.enclosed("{}", this.#inOrder(members, others));
  }

  #required(): unknown[] {
    return listAt(this.#schema.required ?? [], `${this.#place}/required`);
  }

  #named(): Member[] {
    const required = this.#required();
    return Object.entries(this.#properties).map(([name, schema]) => {
      const matched = this.#matched(name).map(([, one]) => one);
      const whole = matched.reduce(schemaIntersection, schema);
      const value = this.#writer.value(whole, `${this.#place}/properties/${name}`);
      return { name, required: required.includes(name), sequence: this.#member(name, value) };
    });
  }

  /** Required members that are not among the properties. */
  #requiredOthers(): Member[] {
    const names = this.#required().map(String)
      .filter((name) => !Object.hasOwn(this.#properties, name));
    return [...new Set(names)].map((name) => {
      const matched = this.#matched(name).map(([, one]) => one);
      const schema = matched.length === 0 ? this.#additional : matched.reduce(schemaIntersection);
      if (schema === false) {
        throw nothingFits(`${this.#place}/required`, `there is no property ${quoted(name)}`);
      }
      const value = this.#writer.value(schema, `${this.#place}/additionalProperties`);
      return { name, required: true, sequence: this.#member(name, value) };
    });
  }

  /** The patterns that a name matches. */
  #matched(name: string): (readonly [string, unknown])[] {
    if (this.#names === undefined) return [];
    const membership = this.#names.of(name);
    if (membership !== undefined) return this.#patterns.filter((_, i) => membership[i]);
    throw refusedSchema(
      `${this.#place}/patternProperties`,
      `whether ${quoted(name)} matches cannot be told: it has control characters`,
    );
  }

  #member(name: string, value: Sequence): Sequence {
    const { json } = this.#writer;
    return [...json.constant(name), ...json.colon, ...value];
  }

  /** Members with any name that is none of these. */
  #anyOther(names: readonly string[]): Sequence | undefined {
    if (this.#additional === false) return undefined;
    const { builder, json } = this.#writer;
    return this.#memberNamed(otherNames(names, { builder, json }), this.#additional, "");
  }

  /** Members by the patterns that their names match; those that match none are the additional ones. */
  #matching(): Sequence | undefined {
    const { builder } = this.#writer;
    const names = this.#names!;
    const found = names.memberships().filter((membership) => !membership.at(-1));
    const choices = found.flatMap((membership) => {
      const matched = this.#patterns.filter((_, i) => membership[i]);
      const schema = matched.length === 0
        ? this.#additional
        : matched.map(([, one]) => one).reduce(schemaIntersection);
      if (schema === false) return [];
      const isThis = (other: Membership) => String(other) === String(membership);
      return [this.#memberNamed(names.texts(builder, isThis), schema, matched[0]?.[0])];
    });
    return choices.length === 0 ? undefined : builder.choice(choices);
  }

  #memberNamed(name: Sequence, schema: unknown, pattern: string | undefined): Sequence {
    const { builder, json, value } = this.#writer;
    const inside = pattern ? `patternProperties/${pattern}` : "additionalProperties";
    const sequence = value(schema, `${this.#place}/${inside}`);
    return [builder.rule([[...json.stringOf(name), ...json.colon, ...sequence]])];
  }

  /** Members in order; those that are not required may be left out, with their commas. */
  #inOrder(members: readonly Member[], rest: Sequence | undefined): Sequence {
    const { builder: b, json } = this.#writer;
    const { comma } = json;
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
}
