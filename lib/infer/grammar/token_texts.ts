/**
 * The texts of a vocabulary, arranged so that a state of a grammar is asked once for all tokens that
 * look the same to it.
 *
 * @module
 */

import { characterLength } from "../../base/utf8.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { CharClasses } from "./char_set.ts";

/** Tokens by the classes of their characters. */
export interface TokenNode {
  /** The node after one more character of a class. */
  readonly next: Map<number, TokenNode>;
  /** Tokens whose text ends here. */
  readonly ids: number[];
}

/** A vocabulary as a grammar sees it. */
export interface TokenTexts {
  /** Tokens that are whole characters. */
  readonly root: TokenNode;
  /** Tokens that begin or end inside a character, with their bytes. */
  readonly broken: readonly { readonly id: number; readonly bytes: Uint8Array }[];
}

/** How tokens read. */
export interface TokenTextOptions {
  /** Ids below this exist. */
  readonly vocabSize: number;
  /** Whether a token that begins with a space is written without it: at the start of a text. */
  readonly atStart: boolean;
}

/** Arranges a vocabulary; tokens without text have no place in it. */
export function tokenTexts(
  tokenizer: Tokenizer,
  classes: CharClasses,
  { vocabSize, atStart }: TokenTextOptions,
): TokenTexts {
  const root: TokenNode = { next: new Map(), ids: [] };
  const broken: { id: number; bytes: Uint8Array }[] = [];
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let id = 0; id < Math.min(vocabSize, tokenizer.vocabSize); id++) {
    const surface = tokenizer.surface(id);
    const bytes = atStart && surface[0] === 0x20 ? surface.subarray(1) : surface;
    if (bytes.length === 0) continue;
    if (!isWhole(bytes)) {
      broken.push({ id, bytes });
      continue;
    }
    let node = root;
    for (const char of decoder.decode(bytes)) {
      const charClass = classes.of(char.codePointAt(0)!);
      let next = node.next.get(charClass);
      if (next === undefined) {
        next = { next: new Map(), ids: [] };
        node.next.set(charClass, next);
      }
      node = next;
    }
    node.ids.push(id);
  }
  return { root, broken };
}

function isWhole(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at);
    if (length <= 0) return false;
    at += length;
  }
  return true;
}
