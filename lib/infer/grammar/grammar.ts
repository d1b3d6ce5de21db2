/**
 * Context-free grammars over characters, as rules of symbols, and their builder.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { type CharSet, charSetKey, one } from "./char_set.ts";
import { productiveRules } from "./productive_rules.ts";

/** A symbol: the index of a set of characters, or `~index` of a rule. */
export type GrammarSymbol = number;

/** Symbols that follow one another. */
export type Sequence = readonly GrammarSymbol[];

/** A grammar whose texts are those that its root rule gives. */
export interface Grammar {
  /** The sets of characters that symbols name. */
  readonly sets: readonly CharSet[];
  /** The alternatives of every rule. */
  readonly rules: readonly (readonly Sequence[])[];
  /** Index of the rule that whole texts follow. */
  readonly root: number;
}

/** Bounds of a grammar from a file nobody has read. */
export const GRAMMAR_LIMITS = {
  /** Most symbols of all rules together. */
  symbols: 200_000,
  /** Deepest nesting of brackets in a grammar, or of schemas in a schema. */
  depth: 256,
  /** Most characters of the source. */
  source: 2_097_152,
} as const;

/** Collects the rules of a grammar and bounds their number; `build` makes the grammar of them. */
export class GrammarBuilder {
  readonly #sets: CharSet[] = [];
  readonly #setIndex = new Map<string, number>();
  readonly #rules: (readonly Sequence[] | undefined)[] = [];
  #symbols = 0;

  /** Makes a rule that {@linkcode GrammarBuilder.define} says later, or at once; gives its symbol. */
  rule(alternatives?: readonly Sequence[]): GrammarSymbol {
    const index = this.#rules.push(undefined) - 1;
    if (alternatives) this.define(~index, alternatives);
    return ~index;
  }

  /** Says what a rule is. @throws {ConfigError} When the grammar grows too large. */
  define(symbol: GrammarSymbol, alternatives: readonly Sequence[]): void {
    this.#symbols += alternatives.reduce((sum, sequence) => sum + sequence.length + 1, 0);
    if (this.#symbols > GRAMMAR_LIMITS.symbols) {
      throw new ConfigError(
        `Cannot use the grammar: it has more than ${GRAMMAR_LIMITS.symbols} symbols`,
        { hint: "take smaller counts in its repetitions" },
      );
    }
    this.#rules[~symbol] = alternatives;
  }

  /** The symbol of one character out of a set. */
  chars(set: CharSet): GrammarSymbol {
    const key = charSetKey(set);
    const known = this.#setIndex.get(key);
    if (known !== undefined) return known;
    const index = this.#sets.push(set) - 1;
    this.#setIndex.set(key, index);
    return index;
  }

  /** The symbols of a text. */
  literal(text: string): Sequence {
    return Array.from(text, (char) => this.chars(one(char.codePointAt(0)!)));
  }

  /** One of several sequences. */
  choice(alternatives: readonly Sequence[]): Sequence {
    return alternatives.length === 1 ? alternatives[0]! : [this.rule(alternatives)];
  }

  /** A sequence between `min` and `max` times. */
  repeat(
    sequence: Sequence,
    { min, max }: { readonly min: number; readonly max: number },
  ): Sequence {
    if (sequence.length === 0 || max === 0) return [];
    const unit: Sequence = sequence.length === 1 ? sequence : [this.rule([sequence])];
    const required = Math.min(min, GRAMMAR_LIMITS.symbols + 1);
    const head: GrammarSymbol[] = [];
    if (required > 0) {
      const all: GrammarSymbol[] = [];
      for (let i = 0; i < required; i++) all.push(unit[0]!);
      head.push(required === 1 ? unit[0]! : this.rule([all]));
    }
    if (max === Infinity) {
      const star = this.rule();
      this.define(star, [[...unit, star], []]);
      return [...head, star];
    }
    let rest: Sequence = [];
    for (let i = min; i < max; i++) rest = [this.rule([[...unit, ...rest], []])];
    return [...head, ...rest];
  }

  /**
   * The grammar; a finite one has no ways that a text could not finish.
   *
   * @throws {ConfigError} When a rule begins with itself: nothing could be read.
   */
  build(root: GrammarSymbol, { finite = false }: { readonly finite?: boolean } = {}): Grammar {
    const all = this.#rules.map((rule) => rule!);
    const rules = finite ? productiveRules(all) : all;
    const grammar = { sets: this.#sets, rules, root: ~root };
    checkLeftRecursion(grammar);
    return grammar;
  }
}

/**
 * A rule that comes back to itself before any character, with something still to follow, has no end:
 * every return would stack up another continuation.
 */
function checkLeftRecursion({ rules }: Grammar): void {
  const nullable = nullableRules(rules);
  const edges = rules.map((alternatives) => leftmost(alternatives, nullable));
  const component = components(edges.map((list) => list.map(({ to }) => to)));
  for (const [from, list] of edges.entries()) {
    if (!list.some(({ to, tail }) => !tail && component[from] === component[to])) continue;
    throw new ConfigError("Cannot use the grammar: a rule begins with itself (left recursion)", {
      hint: "write list ::= item list | item instead of list ::= list item | item",
    });
  }
}

/** Rules that give the empty text. */
function nullableRules(rules: Grammar["rules"]): boolean[] {
  const nullable = rules.map(() => false);
  const users: number[][] = rules.map(() => []);
  for (const [index, alternatives] of rules.entries()) {
    for (const symbol of alternatives.flat()) if (symbol < 0) users[~symbol]!.push(index);
  }
  const queue = rules.map((_, index) => index);
  while (queue.length > 0) {
    const index = queue.pop()!;
    if (nullable[index]) continue;
    const isEmpty = (symbol: GrammarSymbol) => symbol < 0 && nullable[~symbol]!;
    if (!rules[index]!.some((sequence) => sequence.every(isEmpty))) continue;
    nullable[index] = true;
    queue.push(...users[index]!);
  }
  return nullable;
}

interface LeftEdge {
  readonly to: number;
  /** Whether nothing follows it. */
  readonly tail: boolean;
}

/** Rules that can stand first. */
function leftmost(alternatives: readonly Sequence[], nullable: readonly boolean[]): LeftEdge[] {
  const edges: LeftEdge[] = [];
  for (const sequence of alternatives) {
    for (const [i, symbol] of sequence.entries()) {
      if (symbol >= 0) break;
      edges.push({ to: ~symbol, tail: i === sequence.length - 1 });
      if (!nullable[~symbol]) break;
    }
  }
  return edges;
}

/** Strongly connected component of every node (Tarjan 1972), without recursion. */
function components(edges: readonly (readonly number[])[]): Int32Array {
  const component = new Int32Array(edges.length).fill(-1);
  const order = new Int32Array(edges.length).fill(-1);
  const low = new Int32Array(edges.length);
  const path: number[] = [];
  let [next, count] = [0, 0];
  for (let root = 0; root < edges.length; root++) {
    if (order[root]! >= 0) continue;
    const work: { node: number; edge: number }[] = [{ node: root, edge: 0 }];
    while (work.length > 0) {
      const top = work.at(-1)!;
      const { node } = top;
      if (top.edge === 0) {
        order[node] = low[node] = next++;
        path.push(node);
      }
      const to = edges[node]![top.edge++];
      if (to !== undefined) {
        if (order[to]! < 0) work.push({ node: to, edge: 0 });
        else if (component[to]! < 0) low[node] = Math.min(low[node]!, order[to]!);
        continue;
      }
      work.pop();
      const parent = work.at(-1);
      if (parent) low[parent.node] = Math.min(low[parent.node]!, low[node]!);
      if (low[node] !== order[node]) continue;
      for (;;) {
        const member = path.pop()!;
        component[member] = count;
        if (member === node) break;
      }
      count++;
    }
  }
  return component;
}
