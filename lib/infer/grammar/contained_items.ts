/**
 * Arrays of which some items have to fit another schema: `contains` with its counts.
 *
 * @module
 */

import type { GrammarSymbol, Sequence } from "./grammar.ts";
import { schemaOpposite } from "./contains_counts.ts";
import { countsBetween, NothingFits, nothingFits, refusedSchema } from "./schema_checks.ts";
import { schemaIntersection } from "./schema_intersection.ts";
import type { PlacedSchema, SchemaWriter } from "./schema_writer.ts";

/** Most states: numbers of items that have come, by numbers of those that fit. */
const MOST_STATES = 10_000;

/** Items by their place. */
export interface Items {
  /** Schemas of the first ones. */
  readonly prefix: readonly unknown[];
  /** The schema of those that come after the prefix. */
  readonly rest: unknown;
  /** Fewest. */
  readonly min: number;
  /** Most. */
  readonly max: number;
}

/** What an item at one place can be. */
interface Choices {
  readonly fitting: Sequence;
  readonly other: Sequence;
}

/**
 * The arrays of `items` in which as many items as said fit the schema of `contains`: a rule for each
 * count of items and of those that fit. Where there is a most count, the others are written so that
 * they do not fit.
 *
 * @throws {ConfigError} Where the schema cannot be followed, or with a most count its opposite.
 */
export function containingRule(
  placed: PlacedSchema,
  { items, writer }: { readonly items: Items; readonly writer: SchemaWriter },
): Sequence {
  return writer.json.enclosed("[]", [new ContainedItems(placed, items, writer).rule()]);
}

class ContainedItems {
  readonly #schema: unknown;
  readonly #place: string;
  readonly #items: Items;
  readonly #writer: SchemaWriter;
  /** Fewest and most items that fit. */
  readonly #least: number;
  readonly #most: number;
  /** Fewest items of all kinds: a tuple is written whole. */
  readonly #min: number;
  readonly #max: number;
  readonly #states = new Map<string, GrammarSymbol>();
  readonly #choices = new Map<string, Choices>();

  constructor({ schema, place }: PlacedSchema, items: Items, writer: SchemaWriter) {
    this.#schema = schema.contains;
    this.#place = place;
    this.#items = items;
    this.#writer = writer;
    const counts = { least: "minContains", most: "maxContains", place };
    const { min, max } = countsBetween(schema, counts);
    [this.#least, this.#most] = [min, max];
    const { prefix, rest } = items;
    this.#max = rest === false ? Math.min(items.max, prefix.length) : items.max;
    this.#min = Math.max(items.min, Math.min(prefix.length, this.#max));
    const least = Math.max(this.#least, this.#min);
    if (least > this.#max) {
      throw nothingFits(place, `at most ${this.#max} items can be, and at least ${least} have to`);
    }
  }

  rule(): GrammarSymbol {
    return this.#after(0, 0);
  }

  /** What can follow `count` items of which `found` fit; numbers that decide no more stand still. */
  #after(count: number, found: number): GrammarSymbol {
    const steady = this.#max === Infinity
      ? Math.min(count, Math.max(this.#min, this.#items.prefix.length, 1))
      : count;
    const key = `${steady} ${found}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size === MOST_STATES) {
      throw refusedSchema(
        `${this.#place}/contains`,
        `its counts and those of the items make more than ${MOST_STATES} cases`,
      );
    }
    const symbol = this.#writer.builder.rule();
    this.#states.set(key, symbol);
    this.#writer.builder.define(symbol, this.#alternatives(steady, found));
    return symbol;
  }

  #alternatives(count: number, found: number): Sequence[] {
    const alternatives: Sequence[] = count >= this.#min && found >= this.#least ? [[]] : [];
    if (count >= this.#max) return alternatives;
    const comma = count === 0 ? [] : this.#writer.json.comma;
    const { fitting, other } = this.#choicesAt(count);
    const isCounted = this.#most < Infinity || found < this.#least;
    if (isCounted && found < this.#most) {
      alternatives.push([...comma, ...fitting, this.#after(count + 1, found + 1)]);
    }
    return [...alternatives, [...comma, ...other, this.#after(count + 1, found)]];
  }

  #choicesAt(index: number): Choices {
    const { prefix, rest } = this.#items;
    const isFixed = index < prefix.length;
    const place = isFixed ? `${this.#place}/prefixItems/${index}` : `${this.#place}/items`;
    const known = this.#choices.get(place);
    if (known !== undefined) return known;
    const own = isFixed ? prefix[index] : rest;
    const written = (schema: unknown, at: string) => this.#written(schema, at);
    const at = `${this.#place}/contains`;
    const choices: Choices = {
      fitting: written(schemaIntersection(own, this.#schema), at),
      other: this.#most === Infinity
        ? written(own, place)
        : written(schemaIntersection(own, schemaOpposite(this.#schema)), at),
    };
    this.#choices.set(place, choices);
    return choices;
  }

  /** The values of a schema, or a rule that nothing follows. */
  #written(schema: unknown, place: string): Sequence {
    const { builder, value } = this.#writer;
    try {
      return [builder.rule([value(schema, place)])];
    } catch (error) {
      if (error instanceof NothingFits) return [builder.rule([])];
      throw error;
    }
  }
}
