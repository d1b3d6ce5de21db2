/**
 * The grammar of JSON itself, as rules that schemas are built of.
 *
 * Whitespace is what writers put there: none, one space, or a line break with an indent. A model that
 * may write any amount of it can write nothing else for ever.
 *
 * Source: RFC 8259.
 *
 * @module
 */

import { normalizedSet } from "./char_set.ts";
import { PLAIN_CHARS } from "./json_characters.ts";
import type { GrammarBuilder, GrammarSymbol, Sequence } from "./grammar.ts";

/** Deepest indent in characters. */
const MOST_INDENT = 20;

const DIGITS = [[0x30, 0x39]] as const;

/** JSON's rules in one grammar, each made when it is first asked for. */
export class JsonRules {
  readonly #builder: GrammarBuilder;
  readonly #made = new Map<string, GrammarSymbol>();

  /** Makes rules in a builder. */
  constructor(builder: GrammarBuilder) {
    this.#builder = builder;
  }

  /** Whitespace between tokens. */
  get space(): GrammarSymbol {
    return this.#rule("space", (b) => [
      [],
      b.literal(" "),
      [
        ...b.literal("\n"),
        ...b.repeat([b.chars([[0x09, 0x09], [0x20, 0x20]])], {
          min: 0,
          max: MOST_INDENT,
        }),
      ],
    ]);
  }

  /** Any value. */
  get value(): GrammarSymbol {
    return this.#rule("value", (b) => [
      [this.object],
      [this.array],
      [this.string],
      [this.number],
      ...["true", "false", "null"].map((word) => b.literal(word)),
    ]);
  }

  /** Any object. */
  get object(): GrammarSymbol {
    return this.#rule("object", (b) => {
      const member = [this.string, ...this.colon, this.value];
      return [this.#enclosed("{}", this.list([b.rule([member])], { min: 0, max: Infinity }))];
    });
  }

  /** Any array. */
  get array(): GrammarSymbol {
    return this.#rule("array", () => [
      this.#enclosed("[]", this.list([this.value], { min: 0, max: Infinity })),
    ]);
  }

  /** Any string. */
  get string(): GrammarSymbol {
    return this.#rule(
      "string",
      (b) => [this.stringOf(b.repeat([this.char], { min: 0, max: Infinity }))],
    );
  }

  /** One character of a string, as it is or escaped. */
  get char(): GrammarSymbol {
    return this.#rule("char", (b) => {
      const hex = b.chars(normalizedSet([...DIGITS, [0x41, 0x46], [0x61, 0x66]]));
      const escaped = b.chars(normalizedSet(
        Array.from('"\\/bfnrt', (c) => [c.charCodeAt(0), c.charCodeAt(0)] as const),
      ));
      return [
        [b.chars(PLAIN_CHARS)],
        [...b.literal("\\"), escaped],
        [...b.literal("\\u"), hex, hex, hex, hex],
      ];
    });
  }

  /** A whole number: at most 16 digits, which every reader takes exactly or nearly so. */
  get integer(): GrammarSymbol {
    return this.#rule("integer", (b) => {
      const more = b.repeat([this.digit], { min: 0, max: 15 });
      return [[
        ...b.repeat(b.literal("-"), { min: 0, max: 1 }),
        ...b.choice([b.literal("0"), [b.chars([[0x31, 0x39]]), ...more]]),
      ]];
    });
  }

  /** Any number. */
  get number(): GrammarSymbol {
    return this.#rule("number", (b) => {
      const digits = b.repeat([this.digit], { min: 1, max: 16 });
      const sign = b.chars([[0x2b, 0x2b], [0x2d, 0x2d]]);
      const exponent = [
        b.chars([[0x45, 0x45], [0x65, 0x65]]),
        ...b.repeat([sign], { min: 0, max: 1 }),
        ...b.repeat([this.digit], { min: 1, max: 3 }),
      ];
      return [[
        this.integer,
        ...b.repeat([...b.literal("."), ...digits], { min: 0, max: 1 }),
        ...b.repeat(exponent, { min: 0, max: 1 }),
      ]];
    });
  }

  /** One decimal digit. */
  get digit(): GrammarSymbol {
    return this.#builder.chars(DIGITS);
  }

  /** What stands between a name and its value. */
  get colon(): Sequence {
    return [...this.#builder.literal(":"), this.space];
  }

  /** What stands between two items. */
  get comma(): Sequence {
    return [...this.#builder.literal(","), this.space];
  }

  /** A string with this content. */
  stringOf(content: Sequence): Sequence {
    const quote = this.#builder.literal('"');
    return [...quote, ...content, ...quote];
  }

  /** A value exactly, as `JSON.stringify` writes it. */
  constant(value: unknown): Sequence {
    return this.#builder.literal(JSON.stringify(value));
  }

  /** An object or array around items, with whitespace inside. */
  enclosed(brackets: "{}" | "[]", items: Sequence): Sequence {
    return this.#enclosed(brackets, items);
  }

  /** Items with commas between them, between `min` and `max` of them. */
  list(item: Sequence, { min, max }: { readonly min: number; readonly max: number }): Sequence {
    if (max === 0) return [];
    const b = this.#builder;
    const more = b.repeat([...this.comma, ...item], { min: Math.max(0, min - 1), max: max - 1 });
    const all = [...item, ...more];
    return min === 0 ? b.repeat(all, { min: 0, max: 1 }) : all;
  }

  #enclosed([open, close]: string, items: Sequence): Sequence {
    const b = this.#builder;
    if (items.length === 0) return [...b.literal(open!), this.space, ...b.literal(close!)];
    return [...b.literal(open!), this.space, ...items, this.space, ...b.literal(close!)];
  }

  #rule(
    name: string,
    make: (builder: GrammarBuilder) => readonly Sequence[],
  ): GrammarSymbol {
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const symbol = this.#builder.rule();
    this.#made.set(name, symbol);
    this.#builder.define(symbol, make(this.#builder));
    return symbol;
  }
}
