/**
 * Names of properties that a schema does not name itself.
 *
 * @module
 */

import { complement, intersection, normalizedSet } from "./char_set.ts";
import type { GrammarBuilder, GrammarSymbol, Sequence } from "./grammar.ts";
import { PLAIN_CHARS } from "./json_characters.ts";
import type { JsonRules } from "./json_rules.ts";

interface NameNode {
  readonly next: Map<string, NameNode>;
  isName: boolean;
}

/** Contents of JSON strings that are none of `names`: they leave each of them at some character. */
export function otherNames(
  names: readonly string[],
  { builder, json }: { readonly builder: GrammarBuilder; readonly json: JsonRules },
): Sequence {
  const any = builder.repeat([json.char], { min: 0, max: Infinity });
  if (names.length === 0) return any;
  const root: NameNode = { next: new Map(), isName: false };
  for (const name of names) insert(root, JSON.stringify(name).slice(1, -1));
  const ruleOf = (node: NameNode): GrammarSymbol => {
    const known = [...node.next.keys()].map((char) => char.codePointAt(0)!);
    const others = complement(normalizedSet(known.map((code) => [code, code])));
    return builder.rule([
      ...[...node.next].map(([char, next]) => [...builder.literal(char), ruleOf(next)]),
      [builder.chars(intersection(others, PLAIN_CHARS)), ...any],
      ...(node.isName ? [] : [[]]),
    ]);
  };
  return [ruleOf(root)];
}

function insert(root: NameNode, name: string): void {
  let node = root;
  for (const char of name) {
    let next = node.next.get(char);
    if (next === undefined) {
      next = { next: new Map(), isName: false };
      node.next.set(char, next);
    }
    node = next;
  }
  node.isName = true;
}
