/**
 * The description that the text kernels compile a tokenizer from: a header of words, then arrays, all
 * little-endian u32, each array at a multiple of four bytes (kernels/cpu/src/text/blob.rs).
 *
 * @module
 */

import { pieceCount, type PieceList } from "../formats/piece_list.ts";

/** First word of a description, "TOK1". */
const MAGIC = 0x314b4f54;
/** No id, no rank. */
export const NONE = 0xffffffff;

/** What a tokenizer does besides its pieces; the bits are blob.rs's. */
export const FLAG = {
  /** Characters without a piece become byte pieces. */
  byteFallback: 1,
  /** Neighbouring unknown characters become one unknown token. */
  fuseUnknown: 2,
  /** U+2581 stands for a space, in pieces and text. */
  marks: 4,
  /** Runs of spaces become one, those at the ends none. */
  removeExtra: 8,
  /** The space is put behind the text instead of in front. */
  suffix: 16,
  /** A whole piece of the vocabulary is taken before any merging. */
  wholeFirst: 32,
  /** No merge reaches across the beginning of a space. */
  splitSpaces: 64,
  /** Only the merges on the list exist. */
  list: 128,
  /** Rules of `tokenizer.json` where they differ from SentencePiece's. */
  huggingFace: 256,
  /** U+2581 in text is a character of its own all the same. */
  literalMarks: 512,
  /** Bytes merge inside the pieces of GPT-2's pattern instead of Llama 3's. */
  splitGpt2: 1024,
  /** Every number is a piece. */
  numbersAlone: 2048,
  /** Names that are found late are found in the normal form. */
  normalNames: 4096,
  /** The halves of merges are written in GPT-2's characters for bytes. */
  characters: 8192,
} as const;

/** When a space is put in front of the text. */
export const PREFIX = { none: 0, always: 1, unlessSpace: 2, unlessSpaceAtStart: 3 } as const;

/** How the name of a special token is matched; the bits are special.rs's. */
export const SPECIAL_FLAG = {
  /** It takes the white space before it. */
  stripLeft: 1,
  /** It takes the white space behind it. */
  stripRight: 2,
  /** It is found only where no word goes on at its ends. */
  singleWord: 4,
  /** It is found even where special tokens are text. */
  always: 8,
  /** It is found in what the others leave of the text, which may be normalized before. */
  late: 16,
} as const;

/** Texts one after another; text `i` ends at `ends[i]`. */
export interface PackedTexts {
  /** All bytes. */
  readonly bytes: Uint8Array;
  /** End of each text. */
  readonly ends: Uint32Array;
}

/** A token that is found in text by its name. */
export interface SpecialToken {
  /** Its name as it stands in text. */
  readonly name: string;
  /** Its name as it is found, where that is normalized. */
  readonly normalName?: string;
  /** What its name becomes. */
  readonly id: number;
  /** Bits of {@linkcode SPECIAL_FLAG}. */
  readonly flags: number;
}

/** Everything that the kernels must know to encode text. */
export interface Description {
  /** Whether characters (SentencePiece) or bytes (tiktoken) merge. */
  readonly family: "symbols" | "bytes";
  /** Bits of {@linkcode FLAG}. */
  readonly flags: number;
  /** A code of {@linkcode PREFIX}. */
  readonly prefix: number;
  /** The vocabulary. */
  readonly pieces: PieceList;
  /** Order of merging of each piece, lower first, {@linkcode NONE} never. */
  readonly ranks: Uint32Array;
  /** Id of the unknown piece, or {@linkcode NONE}. */
  readonly unknown: number;
  /** Id of each byte's piece, or {@linkcode NONE}; 256 of them. */
  readonly byteIds: Uint32Array;
  /** The merges' left and right halves, alternating; empty unless they are listed. */
  readonly merges: PackedTexts;
  /** Tokens found by name. */
  readonly specials: readonly SpecialToken[];
  /** SentencePiece's precompiled normalization rules, or empty. */
  readonly charsmap: Uint8Array;
}

/** An empty list of texts. */
export const NO_TEXTS: PackedTexts = { bytes: new Uint8Array(), ends: new Uint32Array() };

/** Puts arrays one behind the other, each at a multiple of four bytes, with zeros between. */
export function atWords(parts: readonly Uint8Array[]): Uint8Array {
  const padded = (length: number): number => Math.ceil(length / 4) * 4;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + padded(part.length), 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += padded(part.length);
  }
  return bytes;
}

/** Packs strings as UTF-8, one behind the other; text `i` ends at `ends[i]`. */
export function packTexts(texts: readonly string[]): PackedTexts {
  const encoder = new TextEncoder();
  const parts = texts.map((text) => encoder.encode(text));
  const ends = new Uint32Array(parts.length);
  let length = 0;
  parts.forEach((part, i) => ends[i] = length += part.length);
  const bytes = new Uint8Array(length);
  parts.forEach((part, i) => bytes.set(part, ends[i]! - part.length));
  return { bytes, ends };
}

/**
 * Ranks in the order of scores, the highest first; equal scores have equal ranks.
 *
 * The bits of a float, with the sign turned around, sort like the float itself.
 */
export function ranksOfScores(scores: Float32Array): Uint32Array {
  // Adding zero makes -0 and 0 the same.
  const bits = new Uint32Array(scores.map((score) => score + 0).buffer);
  return bits.map((word) => word >>> 31 === 1 ? word : ~(word | 0x80000000) >>> 0);
}

/** Writes a description as the kernels read it. */
export function formatDescription(description: Description): Uint8Array {
  const { pieces, specials } = description;
  const names = packTexts(specials.map(({ name, normalName }) => normalName ?? name));
  const words = (values: ArrayLike<number>): Uint8Array =>
    new Uint8Array(Uint32Array.from(values).buffer);
  const view = (values: Uint32Array): Uint8Array =>
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const header = [
    MAGIC,
    description.family === "symbols" ? 0 : 1,
    description.flags,
    description.prefix,
    pieceCount(pieces),
    description.unknown,
    description.merges.ends.length / 2,
    specials.length,
    description.charsmap.length,
  ];
  const parts = [
    words(header),
    view(pieces.offsets.subarray(1)),
    pieces.bytes,
    view(description.ranks),
    pieces.types,
    view(description.byteIds),
    view(description.merges.ends),
    description.merges.bytes,
    view(names.ends),
    names.bytes,
    words(specials.map(({ id }) => id)),
    words(specials.map(({ flags }) => flags)),
    description.charsmap,
  ];
  return atWords(parts);
}
