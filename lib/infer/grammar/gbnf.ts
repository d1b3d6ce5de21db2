/**
 * Reads grammars in llama.cpp's notation (GBNF).
 *
 * ```
 * root ::= "yes" | "no" ("," [ ]? [a-z]+){0,3}   # a comment
 * ```
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { quoted } from "../../base/quoted.ts";
import { ANY_CHAR, type CharSet, complement, LAST_CODE_POINT, normalizedSet } from "./char_set.ts";
import {
  type Grammar,
  GRAMMAR_LIMITS,
  GrammarBuilder,
  type GrammarSymbol,
  type Sequence,
} from "./grammar.ts";

/** Largest count of a repetition. */
const MOST_REPEATS = 10_000;

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  f: "\f",
  b: "\b",
  "0": "\0",
};
const HEX_ESCAPES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Reads a grammar; its root rule is `root`.
 *
 * @throws {ConfigError} With line and column of what is wrong.
 */
export function parseGbnf(source: string): Grammar {
  if (source.length > GRAMMAR_LIMITS.source) {
    throw new ConfigError(
      `Cannot read the grammar: it has ${source.length} characters, ` +
        `at most ${GRAMMAR_LIMITS.source} was wanted`,
    );
  }
  return new GbnfParser(source).parse();
}

class GbnfParser {
  readonly #source: string;
  readonly #builder = new GrammarBuilder();
  readonly #rules = new Map<string, { symbol: GrammarSymbol; at: number; defined: boolean }>();
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Grammar {
    this.#skip(true);
    while (this.#at < this.#source.length) this.#rule();
    const root = this.#rules.get("root");
    if (root === undefined) throw this.#refuse('there is no rule "root"', 0);
    for (const [name, { defined, at }] of this.#rules) {
      if (defined) continue;
      const names = [...this.#rules].filter(([, rule]) => rule.defined).map(([known]) => known);
      const near = didYouMean(name, names);
      throw this.#refuse(`there is no rule ${quoted(name)}${near ? ` (${near})` : ""}`, at);
    }
    return this.#builder.build(root.symbol);
  }

  #rule(): void {
    const start = this.#at;
    const name = this.#name();
    this.#skip(false);
    if (!this.#source.startsWith("::=", this.#at)) {
      throw this.#refuse(`"::=" was wanted after ${quoted(name)}`);
    }
    this.#at += 3;
    this.#skip(true);
    const rule = this.#named(name, start);
    if (rule.defined) throw this.#refuse(`the rule ${quoted(name)} stands twice`, start);
    rule.defined = true;
    this.#builder.define(rule.symbol, this.#alternatives(false));
    if (this.#at < this.#source.length && !/[\r\n]/.test(this.#source[this.#at]!)) {
      throw this.#refuse(`${this.#found()} is out of place`);
    }
    this.#skip(true);
  }

  #named(name: string, at: number) {
    let rule = this.#rules.get(name);
    if (rule === undefined) {
      rule = { symbol: this.#builder.rule(), at, defined: false };
      this.#rules.set(name, rule);
    }
    return rule;
  }

  #alternatives(nested: boolean): Sequence[] {
    if (++this.#depth > GRAMMAR_LIMITS.depth) {
      throw this.#refuse(`brackets are nested more than ${GRAMMAR_LIMITS.depth} deep`);
    }
    const all: Sequence[] = [this.#sequence(nested)];
    while (this.#source[this.#at] === "|") {
      this.#at++;
      this.#skip(true);
      all.push(this.#sequence(nested));
    }
    this.#depth--;
    return all;
  }

  #sequence(nested: boolean): Sequence {
    const symbols: GrammarSymbol[] = [];
    for (;;) {
      const item = this.#item();
      if (item === undefined) return symbols;
      this.#skip(nested);
      symbols.push(...this.#repeated(item, nested));
    }
  }

  #item(): Sequence | undefined {
    const char = this.#source[this.#at];
    if (char === '"') return this.#literal();
    if (char === "[") return [this.#builder.chars(this.#charClass())];
    if (char === ".") {
      this.#at++;
      return [this.#builder.chars(ANY_CHAR)];
    }
    if (char === "(") {
      const start = this.#at++;
      this.#skip(true);
      const inner = this.#alternatives(true);
      if (this.#source[this.#at] !== ")") throw this.#refuse('a "(" is not closed', start);
      this.#at++;
      return [this.#builder.rule(inner)];
    }
    if (char === undefined || !/[A-Za-z0-9_-]/.test(char)) return undefined;
    const start = this.#at;
    return [this.#named(this.#name(), start).symbol];
  }

  #repeated(item: Sequence, nested: boolean): Sequence {
    const bounds = this.#bounds();
    if (bounds === undefined) return item;
    const result = this.#builder.repeat(item, bounds);
    this.#skip(nested);
    return this.#repeated(result, nested);
  }

  #bounds(): { min: number; max: number } | undefined {
    const char = this.#source[this.#at];
    const simple = char === "*" ? [0, Infinity] : char === "+" ? [1, Infinity] : [0, 1];
    if (char === "*" || char === "+" || char === "?") {
      this.#at++;
      return { min: simple[0]!, max: simple[1]! };
    }
    if (char !== "{") return undefined;
    const match = /^\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}/.exec(
      this.#source.slice(this.#at, this.#at + 64),
    );
    if (match === null) throw this.#refuse("a count such as {2}, {2,} or {2,5} was wanted");
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === undefined ? Infinity : Number(match[3]);
    const largest = Math.max(min, max === Infinity ? 0 : max);
    if (largest > MOST_REPEATS) {
      throw this.#refuse(`the count ${largest} is more than ${MOST_REPEATS}`);
    }
    if (max < min) throw this.#refuse(`the counts ${min} and ${max} are in the wrong order`);
    this.#at += match[0].length;
    return { min, max };
  }

  #literal(): Sequence {
    const start = this.#at++;
    let text = "";
    for (;;) {
      const char = this.#source[this.#at];
      if (char === undefined || char === "\n") throw this.#refuse("a text is not closed", start);
      if (char === '"') break;
      text += this.#char();
    }
    this.#at++;
    return this.#builder.literal(text);
  }

  #charClass(): CharSet {
    const start = this.#at++;
    const negated = this.#source[this.#at] === "^";
    if (negated) this.#at++;
    const ranges: [number, number][] = [];
    for (;;) {
      const char = this.#source[this.#at];
      if (char === undefined || char === "\n") throw this.#refuse('a "[" is not closed', start);
      if (char === "]") break;
      const at = this.#at;
      const first = this.#char().codePointAt(0)!;
      let last = first;
      if (this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]") {
        this.#at++;
        last = this.#char().codePointAt(0)!;
      }
      if (last < first) throw this.#refuse("a range ends before it begins", at);
      ranges.push([first, last]);
    }
    this.#at++;
    const set = normalizedSet(ranges);
    const result = negated ? complement(set) : set;
    if (result.length === 0) throw this.#refuse("a class has no characters", start);
    return result;
  }

  /** One character of a text or class, with its escapes. */
  #char(): string {
    const code = this.#source.codePointAt(this.#at)!;
    const char = String.fromCodePoint(code);
    this.#at += char.length;
    if (char !== "\\") return char;
    const letter = this.#source[this.#at++];
    if (letter === undefined) throw this.#refuse("an escape is cut off");
    const digits = HEX_ESCAPES[letter];
    if (digits === undefined) {
      if (ESCAPES[letter] !== undefined) return ESCAPES[letter];
      if (/[\\"'\[\]^\-./]/.test(letter)) return letter;
      throw this.#refuse(`${quoted(`\\${letter}`)} is no escape`, this.#at - 2);
    }
    const hex = this.#source.slice(this.#at, this.#at + digits);
    const value = parseInt(hex, 16);
    const isHex = hex.length === digits && /^[0-9a-f]+$/i.test(hex);
    if (!isHex || value > LAST_CODE_POINT) {
      throw this.#refuse(`${quoted(`\\${letter}${hex}`)} is no character`, this.#at - 2);
    }
    this.#at += digits;
    return String.fromCodePoint(value);
  }

  #name(): string {
    const match = /^[A-Za-z0-9_-]+/.exec(this.#source.slice(this.#at, this.#at + 256));
    if (match === null) throw this.#refuse(`${this.#found()} is out of place, a rule was wanted`);
    this.#at += match[0].length;
    return match[0];
  }

  /** Skips spaces and comments, and line ends where a rule cannot end. */
  #skip(newlines: boolean): void {
    const space = newlines ? /[ \t\r\n]/ : /[ \t]/;
    for (;;) {
      const char = this.#source[this.#at];
      if (char === undefined) return;
      if (char === "#") {
        while (this.#at < this.#source.length && this.#source[this.#at] !== "\n") this.#at++;
      } else if (space.test(char)) this.#at++;
      else return;
    }
  }

  #found(): string {
    const char = this.#source[this.#at];
    return char === undefined ? "the end" : quoted(char);
  }

  #refuse(what: string, at: number = this.#at): ConfigError {
    const before = this.#source.slice(0, at).split("\n");
    const place = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
    return new ConfigError(`Cannot read the grammar: ${place}: ${what}`);
  }
}
