/**
 * Grammars without ways that have no end.
 *
 * @module
 */

import type { GrammarSymbol, Sequence } from "./grammar.ts";

/**
 * The rules without the alternatives that give no finite text: a text must not begin on a way that it
 * cannot finish. A rule of which nothing is left gives no text at all.
 */
export function productiveRules(rules: readonly (readonly Sequence[])[]): readonly Sequence[][] {
  const ends = rules.map(() => false);
  const users: number[][] = rules.map(() => []);
  for (const [index, alternatives] of rules.entries()) {
    for (const symbol of alternatives.flat()) if (symbol < 0) users[~symbol]!.push(index);
  }
  const canEnd = (symbol: GrammarSymbol) => symbol >= 0 || ends[~symbol]!;
  const queue = rules.map((_, index) => index);
  while (queue.length > 0) {
    const index = queue.pop()!;
    if (ends[index] || !rules[index]!.some((sequence) => sequence.every(canEnd))) continue;
    ends[index] = true;
    queue.push(...users[index]!);
  }
  return rules.map((alternatives) => alternatives.filter((sequence) => sequence.every(canEnd)));
}
