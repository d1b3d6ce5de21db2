/**
 * Byte-level `tokenizer.json` files: Llama 3, and what splits text as GPT-2 or Qwen 2 does.
 *
 * @module
 */

import { PIECE_TYPE, type PieceList, PieceListBuilder } from "../formats/piece_list.ts";
import type { FlatStrings } from "../formats/flat_strings.ts";
import type { JsonObject, TokenizerJson } from "../formats/tokenizer_json.ts";
import { bytesOfCharacterPiece } from "./byte_level.ts";
import { byteDecodeTable } from "./decode_table.ts";
import { FLAG, NONE, type PackedTexts, PREFIX } from "./description.ts";
import { addedSpecials, type FamilyParts, placesById, unsupported } from "./huggingface.ts";
import { patternOfSteps, SPLIT_PATTERNS, type SplitPattern } from "./split_patterns.ts";

/** The way of splitting, or a refusal. */
function splitPattern(json: TokenizerJson, preTokenizers: readonly JsonObject[]): SplitPattern {
  if (json.normalizer !== undefined) {
    throw unsupported(json, "it normalizes text, which byte-level tokenizers here do not");
  }
  const pattern = patternOfSteps(preTokenizers);
  if (pattern !== undefined) return pattern;
  const names = SPLIT_PATTERNS.map(({ name }) => name);
  throw unsupported(json, `it splits text by none of ${names.join(", ")}`);
}

/** Pieces in id order, as the file writes them and as bytes. */
function pieceLists(json: TokenizerJson): { shown: PieceList; bytes: PieceList; raw: PieceList } {
  const { vocab } = json;
  const places = placesById(json);
  const added = new Map(json.addedTokens.map((token) => [token.id, token]));
  const encoder = new TextEncoder();
  const lists = {
    shown: new PieceListBuilder(),
    bytes: new PieceListBuilder(),
    raw: new PieceListBuilder(),
  };
  const room = new Uint8Array(vocab.length + 1);
  const source = vocab.bytes;
  const ends = vocab.ends;
  for (let id = 0; id < places.length; id++) {
    const place = places[id]!;
    const token = added.get(id);
    const start = place <= 0 ? 0 : ends[place - 1]!;
    const end = place < 0 ? 0 : ends[place]!;
    const written = bytesOfCharacterPiece({ bytes: source, start, end }, { target: room, at: 0 });
    const type = token === undefined ? PIECE_TYPE.normal : PIECE_TYPE.control;
    const content = token === undefined ? undefined : encoder.encode(token.content);
    if (content === undefined) lists.shown.add(source, { start, end, type });
    else lists.shown.add(content, { type });
    // A token that was added is never made by merging.
    lists.bytes.add(room, {
      start: 0,
      end: content === undefined ? Math.max(written, 0) : 0,
      type,
    });
    if (content !== undefined) lists.raw.add(content, { type });
    else if (written >= 0) lists.raw.add(room, { start: 0, end: written, type });
    else lists.raw.add(source, { start, end, type });
  }
  return { shown: lists.shown.finish(), bytes: lists.bytes.finish(), raw: lists.raw.finish() };
}

/** The halves of merges as bytes. */
function byteMerges(json: TokenizerJson, merges: FlatStrings): PackedTexts {
  const target = new Uint8Array(merges.length);
  const ends = new Uint32Array(merges.count);
  const bytes = merges.bytes;
  const sourceEnds = merges.ends;
  let at = 0;
  let start = 0;
  for (let i = 0; i < ends.length; i++) {
    const end = sourceEnds[i]!;
    at = bytesOfCharacterPiece({ bytes, start, end }, { target, at });
    if (at < 0) {
      throw unsupported(json, `merge ${i >> 1} has a character that stands for no byte`);
    }
    ends[i] = at;
    start = end;
  }
  return { bytes: target.slice(0, at), ends };
}

/** The parts of a byte-level tokenizer's definition. */
export function defineByteLevelParts(
  json: TokenizerJson,
  preTokenizers: readonly JsonObject[],
): FamilyParts {
  return byteLevelParts(json, {
    split: splitPattern(json, preTokenizers),
    wholeFirst: json.model.get("ignore_merges") === true,
  });
}

/** The parts of a definition from a vocabulary of GPT-2's characters, for GGUF too. */
export function byteLevelParts(
  json: TokenizerJson,
  { split, wholeFirst }: { split: SplitPattern; wholeFirst: boolean },
): FamilyParts {
  const { shown, bytes, raw } = pieceLists(json);
  const special = json.addedTokens.filter((token) => token.special).map(({ id }) => id);
  return {
    description: {
      family: "bytes",
      flags: FLAG.list | FLAG.huggingFace | split.flags | (wholeFirst ? FLAG.wholeFirst : 0),
      prefix: PREFIX.none,
      pieces: bytes,
      ranks: new Uint32Array(bytes.types.length).fill(NONE),
      unknown: NONE,
      byteIds: new Uint32Array(256).fill(NONE),
      merges: byteMerges(json, json.merges),
      specials: addedSpecials(json),
      charsmap: new Uint8Array(),
    },
    decode: byteDecodeTable(raw, new Set(special)),
    pieces: shown,
    normalization: `none; split by ${split.name}`,
  };
}
