/**
 * Byte-level `tokenizer.json` files: Llama 3, and what splits text as GPT-2 or Qwen 2 does.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { PIECE_TYPE, type PieceList, PieceListBuilder } from "../formats/piece_list.ts";
import type { AddedToken, JsonObject, TokenizerJson } from "../formats/tokenizer_json.ts";
import { bytesOfCharacterPiece, bytesOfCharacterTexts } from "./byte_level.ts";
import { byteDecodeTable } from "./decode_table.ts";
import { FLAG, NONE, type PackedTexts, PREFIX } from "./description.ts";
import {
  addedSpecials,
  type FamilyParts,
  placesById,
  skippedIds,
  textSteps,
  unknownId,
  unsupported,
} from "./huggingface.ts";
import { describePreparation, type Preparation } from "./prepared.ts";
import { takeSteps } from "./text_steps.ts";
import { patternOfSteps, SPLIT_PATTERNS, type SplitPattern } from "./split_patterns.ts";

const encoder = new TextEncoder();

/** The way of splitting, or a refusal. */
function splitPattern(json: TokenizerJson, preTokenizers: readonly JsonObject[]): SplitPattern {
  const pattern = patternOfSteps(preTokenizers);
  if (pattern !== undefined) return pattern;
  const names = SPLIT_PATTERNS.map(({ name }) => name);
  throw unsupported(json, `it splits text by none of ${names.join(", ")}`);
}

/** Pieces in id order: as the file writes them, as bytes that merge, and as they are decoded. */
interface PieceLists {
  readonly shown: PieceList;
  readonly bytes: PieceList;
  readonly raw: PieceList;
}

/** The lists of a file whose vocabulary is in id order, with all added tokens behind it. */
function listsInOrder(json: TokenizerJson, count: number): PieceLists | undefined {
  const { vocab, vocabIds, addedTokens } = json;
  if (vocabIds.some((id, place) => id !== place)) return undefined;
  if (addedTokens.some(({ id }) => id < vocabIds.length)) return undefined;
  const pieces = bytesOfCharacterTexts(vocab);
  if (typeof pieces === "number") return undefined;
  const contents = new Map(addedTokens.map(({ id, content }) => [id, encoder.encode(content)]));
  const decoded = new Map(addedTokens.map((token) => [token.id, decodedContent(json, token)]));
  return {
    shown: followed(vocab, count, contents),
    bytes: followed(pieces, count, new Map()),
    raw: followed(pieces, count, decoded),
  };
}

/** Pieces, and behind them, up to `count`, others by their ids. */
function followed(
  { bytes, ends }: PackedTexts,
  count: number,
  others: ReadonlyMap<number, Uint8Array>,
): PieceList {
  let length = bytes.length;
  const offsets = new Uint32Array(count + 1);
  offsets.set(ends, 1);
  for (let id = ends.length; id < count; id++) {
    offsets[id + 1] = length += others.get(id)?.length ?? 0;
  }
  const all = new Uint8Array(length);
  all.set(bytes);
  others.forEach((other, id) => all.set(other, offsets[id]));
  const types = new Uint8Array(count).fill(PIECE_TYPE.normal);
  types.fill(PIECE_TYPE.control, ends.length);
  return { bytes: all, offsets, scores: new Float32Array(count), types };
}

/**
 * What an added token decodes to: the reference decodes all by the characters of bytes (byte_level.rs),
 * and has those that it finds late in their normal form.
 */
function decodedContent(json: TokenizerJson, token: AddedToken): Uint8Array {
  const { before } = textSteps(json);
  const content = encoder.encode(
    token.normalized ? takeSteps(token.content, before) : token.content,
  );
  const target = new Uint8Array(content.length);
  const end = content.length;
  const at = bytesOfCharacterPiece({ bytes: content, start: 0, end }, { target, at: 0 });
  return at >= 0 ? target.subarray(0, at) : content;
}

function pieceLists(json: TokenizerJson, addedMerge: boolean): PieceLists {
  const { vocab } = json;
  const places = placesById(json);
  const inOrder = listsInOrder(json, places.length);
  if (inOrder !== undefined) return inOrder;
  const added = new Map(json.addedTokens.map((token) => [token.id, token]));
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
    const merges = token === undefined || addedMerge;
    lists.bytes.add(room, { start: 0, end: merges ? Math.max(written, 0) : 0, type });
    if (token === undefined) {
      lists.shown.add(source, { start, end, type });
      if (written >= 0) lists.raw.add(room, { start: 0, end: written, type });
      else lists.raw.add(source, { start, end, type });
      continue;
    }
    const content = encoder.encode(token.content);
    lists.shown.add(content, { type });
    lists.raw.add(decodedContent(json, token), { type });
  }
  return { shown: lists.shown.finish(), bytes: lists.bytes.finish(), raw: lists.raw.finish() };
}

/** What is done to text before it is split; a refusal of what is not known. */
function preparationOf(json: TokenizerJson, prefixSpace: boolean): Preparation | undefined {
  const { before, rest } = textSteps(json);
  if (rest.length > 0) {
    const type = quoted(String(rest[0]!.get("type")));
    throw unsupported(json, `its normalizer has a step ${type} that byte-level ones here have not`);
  }
  return before.length > 0 || prefixSpace ? { steps: before, prefixSpace } : undefined;
}

/** The parts of a byte-level tokenizer's definition. */
export function defineByteLevelParts(
  json: TokenizerJson,
  preTokenizers: readonly JsonObject[],
): FamilyParts {
  const [first, ...more] = preTokenizers;
  // Behind other steps it would be put in front of each of their parts.
  const prefixSpace = more.length === 0 && first?.get("add_prefix_space") !== false;
  const usual = prefixSpace && first !== undefined
    ? [new Map([...first, ["add_prefix_space", false]])]
    : preTokenizers;
  const preparation = preparationOf(json, prefixSpace);
  const parts = byteLevelParts(json, {
    split: splitPattern(json, usual),
    wholeFirst: json.model.get("ignore_merges") === true,
    addedMerge: true,
  });
  if (preparation === undefined) return parts;
  const { normalization } = parts;
  const described = `${describePreparation(preparation)}; ${normalization}`;
  return { ...parts, preparation, normalization: described.replace("; none;", ";") };
}

/** The parts of a definition from a vocabulary of GPT-2's characters, for GGUF too. */
export function byteLevelParts(
  json: TokenizerJson,
  { split, wholeFirst, addedMerge }: {
    split: SplitPattern;
    wholeFirst: boolean;
    /** Whether added tokens of the vocabulary can be made by merging too. */
    addedMerge: boolean;
  },
): FamilyParts {
  const { shown, bytes, raw } = pieceLists(json, addedMerge);
  const fuse = json.model.get("fuse_unk") === true;
  const { before } = textSteps(json);
  const normalize = (text: string): string => takeSteps(text, before);
  return {
    description: {
      family: "bytes",
      flags: FLAG.list | FLAG.characters | FLAG.huggingFace | split.flags |
        (fuse ? FLAG.fuseUnknown : 0) | (wholeFirst ? FLAG.wholeFirst : 0),
      prefix: PREFIX.none,
      pieces: bytes,
      ranks: new Uint32Array(bytes.types.length).fill(NONE),
      unknown: unknownId(json, shown),
      byteIds: new Uint32Array(256).fill(NONE),
      merges: { bytes: json.merges.bytes, ends: json.merges.ends },
      specials: addedSpecials(json, normalize),
      charsmap: new Uint8Array(),
    },
    decode: byteDecodeTable(raw, skippedIds(json, normalize)),
    pieces: shown,
    normalization: `none; split by ${split.name}`,
  };
}
