/**
 * Names of added tokens in a text, found as the kernels find them (kernels/cpu/src/text/special.rs):
 * leftmost first, the longest of those that begin at one place.
 *
 * @module
 */

import { SPECIAL_FLAG, type SpecialToken } from "./description.ts";

/** A part of a text: what stands between tokens, or a token. */
export type TextPart = string | { readonly token: SpecialToken; readonly at: number };

const SPACE = /\p{White_Space}/u;
const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/** The character that ends at `end`. */
function characterBefore(text: string, end: number): string {
  const low = text.slice(Math.max(0, end - 2), end);
  return low.length === 2 && low.codePointAt(0)! > 0xffff ? low : low.slice(-1);
}

/** The whole character, of one or two code units, that begins at `at`. */
function characterAt(text: string, at: number): string {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at)!) : "";
}

/** Finds the names of added tokens in a text, the longest first, by the flags that each has. */
export class AddedNames {
  readonly #tokens = new Map<string, SpecialToken>();
  readonly #pattern: RegExp | undefined;
  /** Whether a text may be cut before a letter behind a line break without changing what is found. */
  readonly divisible: boolean;

  /** Finds these tokens by their names, or by their normal names. */
  constructor(tokens: readonly SpecialToken[], { normal }: { readonly normal: boolean }) {
    for (const token of tokens) {
      const name = normal ? token.normalName ?? token.name : token.name;
      if (name !== "") this.#tokens.set(name, token);
    }
    // Of alternatives the first that matches is taken: longer ones stand before shorter ones.
    const names = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    this.divisible = !names.some((name) => /^[A-Za-z]|\n([A-Za-z]|$)/.test(name));
    if (names.length === 0) return;
    const escaped = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.#pattern = new RegExp(escaped.join("|"), "gu");
  }

  /** The parts of a text in their order; tokens that are special only with `all`. */
  split(text: string, all: boolean): TextPart[] {
    const parts: TextPart[] = [];
    let bound = 0;
    for (const match of this.#pattern === undefined ? [] : text.matchAll(this.#pattern)) {
      const token = this.#tokens.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (!all && (token.flags & SPECIAL_FLAG.always) === 0) continue;
      if ((token.flags & SPECIAL_FLAG.singleWord) !== 0) {
        if (WORD.test(characterBefore(text, start)) || WORD.test(characterAt(text, end))) continue;
      }
      if ((token.flags & SPECIAL_FLAG.stripLeft) !== 0) {
        while (start > bound && SPACE.test(text[start - 1]!)) start--;
        start = Math.max(start, bound);
      }
      if ((token.flags & SPECIAL_FLAG.stripRight) !== 0) {
        while (end < text.length && SPACE.test(text[end]!)) end++;
      }
      if (start > bound) parts.push(text.slice(bound, start));
      // One whose spaces the token before took stands all the same, unless it takes spaces itself.
      if (start < end) parts.push({ token, at: start });
      bound = end;
    }
    if (bound < text.length) parts.push(text.slice(bound));
    return parts;
  }
}
