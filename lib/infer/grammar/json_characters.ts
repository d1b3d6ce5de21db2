/**
 * Characters as JSON strings write them.
 *
 * @module
 */

import { type CharSet, intersection } from "./char_set.ts";
import type { GrammarBuilder, Sequence } from "./grammar.ts";

/** Characters that stand for themselves. */
export const PLAIN_CHARS: CharSet = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x7e],
  [0x80, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Characters with an escape of their own. */
const ESCAPED = ['"', "\\", "\b", "\f", "\n", "\r", "\t"];

/** One character out of a set, escaped where JSON wants it; control characters beyond these never. */
export function jsonChars(builder: GrammarBuilder, set: CharSet): Sequence {
  const plain = intersection(set, PLAIN_CHARS);
  const escaped = ESCAPED.filter((char) => {
    const code = char.charCodeAt(0);
    return set.some(([first, last]) => first <= code && code <= last);
  });
  return builder.choice([
    ...(plain.length === 0 ? [] : [[builder.chars(plain)]]),
    ...escaped.map((char) => builder.literal(JSON.stringify(char).slice(1, -1))),
  ]);
}
