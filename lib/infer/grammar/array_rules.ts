/**
 * Arrays that a JSON Schema allows.
 *
 * @module
 */

import { containingRule, type Items } from "./contained_items.ts";
import type { GrammarSymbol, Sequence } from "./grammar.ts";
import { countsBetween, listAt, nothingFits, refusedSchema } from "./schema_checks.ts";
import { canonicalJson, schemaIntersection } from "./schema_intersection.ts";
import { valuesOf } from "./schema_values.ts";
import type { PlacedSchema, SchemaWriter } from "./schema_writer.ts";

/** Most different values of items that may not repeat: each set of them is a state. */
const MOST_UNIQUE = 30;

/** The arrays that fit a schema. @throws {ConfigError} Where it cannot be followed. */
export function arrayRule({ schema, place }: PlacedSchema, writer: SchemaWriter): Sequence {
  const prefix = listAt(schema.prefixItems ?? [], `${place}/prefixItems`);
  const { min, max: most } = countsBetween(schema, {
    least: "minItems",
    most: "maxItems",
    place,
  });
  const closed = prefix.indexOf(false);
  const max = closed < 0 ? most : Math.min(most, closed);
  if (max < min) throw nothingFits(place, `item ${max} cannot be, and minItems is ${min}`);
  const items = { prefix, rest: schema.items ?? true, min, max };
  const isUnique = schema.uniqueItems === true && max > 1;
  if (schema.contains !== undefined) {
    if (isUnique) throw refusedSchema(place, '"contains" beside "uniqueItems" cannot be followed');
    return containingRule({ schema, place }, { items, writer });
  }
  if (isUnique) return new UniqueItems(items, place, writer).rule();
  return itemsInOrder(items, place, writer);
}

function itemsInOrder(
  { prefix, rest, min, max }: Items,
  place: string,
  { builder, json, value }: SchemaWriter,
): Sequence {
  const fixed = prefix.map((one, i) => [
    builder.rule([value(one, `${place}/prefixItems/${i}`)]),
  ]);
  if (fixed.length === 0) {
    if (rest === false) {
      if (min > 0) throw nothingFits(place, `there are no items, and minItems is ${min}`);
      return json.enclosed("[]", []);
    }
    const item = [builder.rule([value(rest, `${place}/items`)])];
    return json.enclosed("[]", json.list(item, { min, max }));
  }
  // Without a least count a tuple is written whole.
  const comma = json.comma;
  const head = fixed.slice(0, max).flatMap((one, i) => i === 0 ? one : [...comma, ...one]);
  const left = Math.max(0, max - fixed.length);
  const least = Math.max(0, min - fixed.length);
  if (rest === false && least > 0) {
    throw nothingFits(place, `there are ${fixed.length} items, and minItems is ${min}`);
  }
  if (rest === false || left === 0) return json.enclosed("[]", head);
  const item = [...comma, builder.rule([value(rest, `${place}/items`)])];
  return json.enclosed("[]", [...head, ...builder.repeat(item, { min: least, max: left })]);
}

/** Arrays of values of a list, none of them twice: a rule for each set of values that have come. */
class UniqueItems {
  readonly #items: Items;
  readonly #place: string;
  readonly #writer: SchemaWriter;
  /** The values that items can have, as JSON, each with its bit. */
  readonly #bits = new Map<string, number>();
  readonly #rules = new Map<number, GrammarSymbol>();
  readonly #choices = new Map<string, readonly { bit: number; text: Sequence }[]>();

  constructor(items: Items, place: string, writer: SchemaWriter) {
    this.#items = items;
    this.#place = place;
    this.#writer = writer;
  }

  rule(): Sequence {
    return this.#writer.json.enclosed("[]", [this.#after(0, 0)]);
  }

  /** What can follow `count` items that were the values of `used`. */
  #after(used: number, count: number): GrammarSymbol {
    const known = this.#rules.get(used);
    if (known !== undefined) return known;
    const { builder, json } = this.#writer;
    const { min, max } = this.#items;
    const alternatives: Sequence[] = count >= min ? [[]] : [];
    if (count < max) {
      for (const { bit, text } of this.#choicesAt(count)) {
        if ((used & bit) !== 0) continue;
        const comma = count === 0 ? [] : json.comma;
        alternatives.push([...comma, ...text, this.#after(used | bit, count + 1)]);
      }
    }
    const symbol = builder.rule(alternatives);
    this.#rules.set(used, symbol);
    return symbol;
  }

  /** The values that item `index` can have. */
  #choicesAt(index: number): readonly { bit: number; text: Sequence }[] {
    const { prefix, rest } = this.#items;
    const isFixed = index < prefix.length;
    const place = isFixed ? `${this.#place}/prefixItems/${index}` : `${this.#place}/items`;
    const known = this.#choices.get(place);
    if (known !== undefined) return known;
    const { builder, value, find } = this.#writer;
    const schema = isFixed ? prefix[index] : rest;
    const values = valuesOf(schema, { find: (target) => find(target, place) });
    if (values === undefined) {
      throw refusedSchema(
        `${this.#place}/uniqueItems`,
        "items that are not of a list of values cannot be kept from coming twice",
        { hint: "give the items an enum, or let maxItems be 1" },
      );
    }
    const choices = values.map((one) => ({
      bit: this.#bitOf(one),
      text: [builder.rule([value(schemaIntersection(schema, { enum: [one] }), place)])],
    }));
    this.#choices.set(place, choices);
    return choices;
  }

  #bitOf(value: unknown): number {
    const text = canonicalJson(value);
    const known = this.#bits.get(text);
    if (known !== undefined) return known;
    if (this.#bits.size === MOST_UNIQUE) {
      throw refusedSchema(
        `${this.#place}/uniqueItems`,
        `items of more than ${MOST_UNIQUE} values cannot be kept from coming twice`,
      );
    }
    const bit = 1 << this.#bits.size;
    this.#bits.set(text, bit);
    return bit;
  }
}
