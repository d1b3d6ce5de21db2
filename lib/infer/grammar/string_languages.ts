/**
 * Texts that follow some of several patterns and not the others.
 *
 * Each pattern is followed by an automaton of its own; what they say together has finitely many
 * states, and each state becomes a rule (the product construction, Rabin and Scott 1959). Characters
 * are written in one way only, so that no escape hides what a pattern would have found.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { GrammarAutomaton } from "./automaton.ts";
import { ANY_CHAR, normalizedSet } from "./char_set.ts";
import { GrammarBuilder, type GrammarSymbol, type Sequence } from "./grammar.ts";
import { jsonChars } from "./json_characters.ts";
import { parsePattern, type PatternContext } from "./pattern.ts";

/** Most states of all patterns together. */
const MOST_STATES = 20_000;

/** Says which texts a pattern is about, in a builder of its own. */
export type Language = (context: PatternContext) => Sequence;

/** Which of the languages a text is in. */
export type Membership = readonly boolean[];

interface ProductState {
  readonly states: readonly number[];
  /** Undefined where a text cannot end. */
  readonly membership: Membership | undefined;
  /** Number of the state after each class of characters; -1 where none may come. */
  readonly next: Int32Array;
}

/** The texts of some languages, told apart by which of them they are in. */
export class StringLanguages {
  readonly #automata: readonly GrammarAutomaton[];
  readonly #states: ProductState[] = [];
  readonly #numbers = new Map<string, number>();

  /** Follows languages side by side. @throws {ConfigError} When they have too many states together. */
  constructor(languages: readonly Language[]) {
    const builder = new GrammarBuilder();
    const char = builder.rule([jsonChars(builder, ANY_CHAR)]);
    const any = builder.repeat([char], { min: 0, max: Infinity });
    const texts = [any, ...languages.map((language) => language({ builder, char }))];
    // One builder has one list of character sets: the automata share their classes.
    const roots = texts.map((text) => builder.rule([text]));
    this.#automata = roots.map((root) => new GrammarAutomaton(builder.build(root)));
    this.#number(this.#automata.map(({ start }) => start));
    for (let at = 0; at < this.#states.length; at++) this.#follow(this.#states[at]!);
  }

  /** Every way in which a text can be in some of the languages and not in the others. */
  memberships(): Membership[] {
    const found = this.#states.flatMap(({ membership }) => membership ? [membership] : []);
    return [...new Map(found.map((membership) => [String(membership), membership])).values()];
  }

  /** Which languages a text is in; undefined where JSON cannot write it in one way only. */
  of(text: string): Membership | undefined {
    const { classes } = this.#automata[0]!;
    let state = 0;
    for (const char of JSON.stringify(text).slice(1, -1)) {
      state = this.#states[state]!.next[classes.of(char.codePointAt(0)!)]!;
      if (state < 0) return undefined;
    }
    return this.#states[state]!.membership;
  }

  /** The texts that are in the languages so, as rules of a builder; without a text a rule of nothing. */
  texts(builder: GrammarBuilder, wanted: (membership: Membership) => boolean): Sequence {
    const isEnd = this.#states.map(({ membership }) => membership && wanted(membership));
    const symbols = new Map<number, GrammarSymbol>();
    for (const state of this.#leadingTo(isEnd)) symbols.set(state, builder.rule());
    for (const [state, symbol] of symbols) {
      const alternatives: Sequence[] = isEnd[state] ? [[]] : [];
      for (const [next, classes] of this.#edges(state)) {
        const after = symbols.get(next);
        if (after === undefined) continue;
        const ranges = classes.flatMap((one) => this.#automata[0]!.classes.members(one));
        alternatives.push([builder.chars(normalizedSet(ranges)), after]);
      }
      builder.define(symbol, alternatives);
    }
    return [symbols.get(0) ?? builder.rule([])];
  }

  #number(states: readonly number[]): number {
    if (states[0]! < 0) return -1;
    const key = String(states);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.#states.length === MOST_STATES) {
      throw new ConfigError(
        `Cannot follow the schema: its patterns have more than ${MOST_STATES} states together`,
        { hint: "take smaller counts and lengths, or fewer patterns" },
      );
    }
    const accepts = this.#automata.map((automaton, i) => automaton.accepts(states[i]!));
    const next = new Int32Array(this.#automata[0]!.classes.count).fill(-1);
    const membership = accepts[0] ? accepts.slice(1) : undefined;
    this.#numbers.set(key, this.#states.length);
    return this.#states.push({ states, membership, next }) - 1;
  }

  #follow({ states, next }: ProductState): void {
    for (let charClass = 0; charClass < next.length; charClass++) {
      next[charClass] = this.#number(
        this.#automata.map((automaton, i) => automaton.step(states[i]!, charClass)),
      );
    }
  }

  /** The classes of characters that lead to each state. */
  #edges(state: number): Map<number, number[]> {
    const edges = new Map<number, number[]>();
    for (const [charClass, next] of this.#states[state]!.next.entries()) {
      if (next < 0) continue;
      if (!edges.has(next)) edges.set(next, []);
      edges.get(next)!.push(charClass);
    }
    return edges;
  }

  /** The states from which an end can be reached. */
  #leadingTo(isEnd: readonly (boolean | undefined)[]): Set<number> {
    const before: number[][] = this.#states.map(() => []);
    for (const [from, { next }] of this.#states.entries()) {
      for (const to of new Set(next)) if (to >= 0) before[to]!.push(from);
    }
    const found = new Set(isEnd.keys().filter((state) => isEnd[state]));
    // A set goes on with what is added to it meanwhile.
    for (const state of found) for (const from of before[state]!) found.add(from);
    return found;
  }
}

/** The texts that match a pattern. @throws {SyntaxError} Saying what cannot be followed. */
export function patternLanguage(pattern: string): Language {
  return (context) => parsePattern(pattern, context);
}

/** The language of the texts of a list, written as JSON strings without their quotes. */
export function listLanguage(texts: readonly string[]): Language {
  return ({ builder }) => [
    builder.rule(texts.map((text) => builder.literal(JSON.stringify(text).slice(1, -1)))),
  ];
}

/** The texts of so many characters. */
export function lengthLanguage(length: { readonly min: number; readonly max: number }): Language {
  return ({ builder, char }) => builder.repeat([char], length);
}
