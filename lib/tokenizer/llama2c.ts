/**
 * llama2.c's `tokenizer.bin` as a tokenizer (reference: karpathy/llama2.c, run.c).
 *
 * @module
 */

import { pieceCount, type PieceList } from "../formats/piece_list.ts";
import { pieceDecodeTable } from "./decode_table.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { FLAG, NO_TEXTS, NONE, PREFIX, ranksOfScores } from "./description.ts";
import { byteIds } from "./sentencepiece.ts";

const UNKNOWN = 0;
const BEGIN = 1;
const END = 2;

/**
 * The definition of a `tokenizer.bin`: like SentencePiece without any normalization. Spaces stand as
 * they are, one is put before a text that is not empty, and decoding takes one from behind the begin
 * token.
 */
export function defineLlama2c(pieces: PieceList, file: string): TokenizerDefinition {
  return {
    kind: "llama2c",
    file,
    vocabSize: pieceCount(pieces),
    description: {
      family: "symbols",
      flags: FLAG.byteFallback,
      prefix: PREFIX.always,
      pieces,
      ranks: ranksOfScores(pieces.scores),
      unknown: NONE,
      byteIds: byteIds(pieces),
      merges: NO_TEXTS,
      // The file writes them with line breaks around, but as text they have their usual names.
      specials: [{ name: "<s>", id: BEGIN, flags: 0 }, { name: "</s>", id: END, flags: 0 }],
      charsmap: new Uint8Array(),
    },
    decode: pieceDecodeTable(pieces, {
      marks: false,
      beginId: BEGIN,
      malformed: "each",
      strip: "dummy",
      special: new Set([BEGIN, END]),
    }),
    pieces,
    replaceBytes: true,
    normalization: "identity, dummy prefix, byte fallback",
    bosId: BEGIN,
    eosId: END,
    unkId: UNKNOWN,
    padId: undefined,
    // run.c stops at the begin token: its training data separate texts by it alone.
    endIds: [BEGIN, END],
    addBos: true,
    addEos: false,
  };
}
