/**
 * Regular expressions of JSON Schema (`pattern`) as sequences of symbols.
 *
 * Taken are characters, classes, groups, alternatives and counts; what looks around or back is refused.
 * As JSON Schema says, a pattern matches anywhere unless `^` and `$` hold it.
 *
 * @module
 */

import {
  ANY_CHAR,
  type CharSet,
  complement,
  intersection,
  normalizedSet,
  one,
} from "./char_set.ts";
import {
  GRAMMAR_LIMITS,
  type GrammarBuilder,
  type GrammarSymbol,
  type Sequence,
} from "./grammar.ts";
import { jsonChars } from "./json_characters.ts";

const DIGITS: CharSet = [[0x30, 0x39]];
const WORD: CharSet = normalizedSet([[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);
const SPACE: CharSet = normalizedSet([[0x09, 0x0d], [0x20, 0x20], [0xa0, 0xa0], [0x2028, 0x2029]]);
const LINE_ENDS: CharSet = normalizedSet([[0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029]]);

const CLASSES: Readonly<Record<string, CharSet>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROL: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11 };

/** Largest count of a repetition. */
const MOST_REPEATS = 1_000;

/** Where symbols are made. */
export interface PatternContext {
  /** Collects the rules. */
  readonly builder: GrammarBuilder;
  /** Any character of a JSON string, for what a pattern leaves open. */
  readonly char: GrammarSymbol;
}

/** The contents of JSON strings that match a pattern. @throws {SyntaxError} Saying what cannot be followed. */
export function parsePattern(pattern: string, context: PatternContext): Sequence {
  return new PatternParser(pattern, context).parse();
}

class PatternParser {
  readonly #pattern: string;
  readonly #context: PatternContext;
  #at = 0;
  #depth = 0;

  constructor(pattern: string, context: PatternContext) {
    this.#pattern = pattern;
    this.#context = context;
  }

  parse(): Sequence {
    const { builder, char } = this.#context;
    const any = builder.repeat([char], { min: 0, max: Infinity });
    const bodies: Sequence[] = [];
    do {
      const starts = this.#take("^");
      const body = this.#sequence();
      const ends = this.#take("$");
      bodies.push([...(starts ? [] : any), ...body, ...(ends ? [] : any)]);
    } while (this.#take("|"));
    if (this.#at < this.#pattern.length) throw this.#refuse("is out of place");
    return builder.choice(bodies);
  }

  #sequence(): Sequence {
    const symbols: GrammarSymbol[] = [];
    for (;;) {
      const char = this.#pattern[this.#at];
      if (char === undefined || char === "|" || char === ")") return symbols;
      if (char === "$" && /^\$($|\|)/.test(this.#pattern.slice(this.#at)) && this.#depth === 0) {
        return symbols;
      }
      symbols.push(...this.#repeated(this.#item()));
    }
  }

  #item(): Sequence {
    const { builder } = this.#context;
    const char = String.fromCodePoint(this.#pattern.codePointAt(this.#at)!);
    if (char === "(") return this.#group();
    if (char === "[") return jsonChars(builder, this.#class());
    if (char === ".") {
      this.#at++;
      return jsonChars(builder, complement(LINE_ENDS));
    }
    if ("^$*+?{".includes(char)) throw this.#refuse("cannot be followed here");
    if (char === "\\") return jsonChars(builder, this.#escape());
    this.#at += char.length;
    return jsonChars(builder, one(char.codePointAt(0)!));
  }

  #group(): Sequence {
    if (++this.#depth > GRAMMAR_LIMITS.depth) throw this.#refuse("is nested too deeply");
    this.#at++;
    if (this.#take("?") && !this.#take(":")) throw this.#refuse("looks around, or names a group");
    const all = [this.#sequence()];
    while (this.#take("|")) all.push(this.#sequence());
    if (!this.#take(")")) throw this.#refuse('was found where ")" was wanted');
    this.#depth--;
    return [this.#context.builder.rule(all)];
  }

  #repeated(item: Sequence): Sequence {
    const rest = this.#pattern.slice(this.#at, this.#at + 32);
    const match = /^(?:([*+?])|\{(\d{1,9})(,)?(\d{1,9})?\})\??/.exec(rest);
    if (match === null) return item;
    const [whole, sign, least, comma, most] = match;
    this.#at += whole.length;
    const min = sign === undefined ? Number(least) : sign === "+" ? 1 : 0;
    const max = sign !== undefined
      ? sign === "?" ? 1 : Infinity
      : most !== undefined
      ? Number(most)
      : comma === undefined
      ? min
      : Infinity;
    if (max < min || min > MOST_REPEATS || (max !== Infinity && max > MOST_REPEATS)) {
      throw new SyntaxError(`the count ${whole} is not between 0 and ${MOST_REPEATS}`);
    }
    const { builder } = this.#context;
    return this.#repeated(builder.repeat(item, { min, max }));
  }

  #class(): CharSet {
    this.#at++;
    const negated = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const first = this.#classItem();
      const isRange = this.#pattern[this.#at] === "-" && this.#pattern[this.#at + 1] !== "]";
      if (!isRange) {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      const last = this.#classItem();
      const [from, to] = [first[0]![0], last.at(-1)![1]];
      if (first.length > 1 || from > to) throw this.#refuse("ends a range before it begins");
      ranges.push([from, to]);
    }
    const set = normalizedSet(ranges);
    return negated ? complement(set) : set;
  }

  #classItem(): CharSet {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) throw this.#refuse('was found where "]" was wanted');
    if (code === 0x5c) return this.#escape();
    this.#at += code > 0xffff ? 2 : 1;
    return one(code);
  }

  #escape(): CharSet {
    const letter = this.#pattern[this.#at + 1];
    this.#at += 2;
    if (letter === undefined) throw this.#refuse("cuts an escape off");
    if (CLASSES[letter]) return intersection(CLASSES[letter], ANY_CHAR);
    if (CONTROL[letter] !== undefined) return one(CONTROL[letter]);
    if (letter === "u" || letter === "x") {
      const digits = letter === "u" ? 4 : 2;
      const hex = this.#pattern.slice(this.#at, this.#at + digits);
      if (hex.length !== digits || !/^[0-9a-f]+$/i.test(hex)) {
        throw new SyntaxError(`"\\${letter}${hex}" is no character`);
      }
      this.#at += digits;
      return one(parseInt(hex, 16));
    }
    if (/[A-Za-z0-9]/.test(letter)) throw new SyntaxError(`"\\${letter}" cannot be followed`);
    return one(letter.codePointAt(0)!);
  }

  #take(char: string): boolean {
    if (this.#pattern[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #refuse(what: string): SyntaxError {
    const char = this.#pattern[this.#at];
    return new SyntaxError(`${char === undefined ? "the end" : `"${char}"`} ${what}`);
  }
}
