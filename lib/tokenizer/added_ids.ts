/**
 * The ids of added tokens, which are not always those that a `tokenizer.json` says
 * (huggingface/tokenizers, added_vocabulary.rs, `add_tokens`).
 *
 * @module
 */

import type { FlatStrings } from "../formats/flat_strings.ts";
import type { AddedToken, TokenizerJson } from "../formats/tokenizer_json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Lengths are told apart up to this; all longer ones are alike. */
const LONGEST = 255;

function shapeOf(length: number, first: number): number {
  return Math.min(length, LONGEST) << 8 | first;
}

/** Ids of those texts that the vocabulary has. */
function idsInVocabulary(
  vocab: FlatStrings,
  vocabIds: Uint32Array,
  wanted: Iterable<string>,
): Map<string, number> {
  const texts = new Set(wanted);
  // Most of a vocabulary differs from all of them in length or first byte, and needs no string.
  const shapes = new Uint8Array((LONGEST + 1) << 8);
  for (const text of texts) {
    const bytes = encoder.encode(text);
    if (bytes.length > 0) shapes[shapeOf(bytes.length, bytes[0]!)] = 1;
  }
  const found = new Map<string, number>();
  const { bytes, ends } = vocab;
  for (let place = 0, start = 0; place < vocabIds.length; place++) {
    const end = ends[place]!;
    if (shapes[shapeOf(end - start, bytes[start]!)] === 1) {
      const text = decoder.decode(bytes.subarray(start, end));
      if (texts.has(text)) found.set(text, vocabIds[place]!);
    }
    start = end;
  }
  return found;
}

/**
 * The added tokens with the ids that the reference gives them: the vocabulary's where it has their
 * text, the next ones behind the vocabulary's size otherwise. Of two with one text the later one
 * counts, but what was special once stays so; one without a text is none.
 */
export function withReferenceIds(json: TokenizerJson): TokenizerJson {
  const { addedTokens, vocab, vocabIds } = json;
  const known = idsInVocabulary(vocab, vocabIds, addedTokens.map(({ content }) => content));
  const byId = new Map<number, AddedToken>();
  const special = new Set<string>();
  let next = vocab.count;
  for (const token of addedTokens) {
    if (token.content === "") continue;
    const id = known.get(token.content) ?? next++;
    known.set(token.content, id);
    if (token.special) special.add(token.content);
    byId.set(id, { ...token, id });
  }
  const tokens = [...byId.values()].map((token) => (
    { ...token, special: special.has(token.content) }
  ));
  return { ...json, addedTokens: tokens };
}
