/**
 * Rank files as tokenizers (reference: openai/tiktoken with Llama 3's pattern).
 *
 * @module
 */

import {
  PIECE_TYPE,
  pieceBytes,
  pieceCount,
  type PieceList,
  PieceListBuilder,
} from "../formats/piece_list.ts";
import { byteDecodeTable } from "./decode_table.ts";
import { endIds, type TokenizerDefinition } from "./definition.ts";
import { FLAG, NO_TEXTS, NONE, PREFIX, type SpecialToken } from "./description.ts";
import { LLAMA3_RANKS, llama3SpecialNames } from "./llama3.ts";

/** The ranks, and special tokens behind them as control pieces; ids in between stay empty. */
function withSpecialPieces(
  ranks: PieceList,
  specials: readonly { readonly name: string; readonly id: number }[],
): PieceList {
  const pieces = new PieceListBuilder();
  for (let id = 0; id < pieceCount(ranks); id++) pieces.add(pieceBytes(ranks, id));
  for (const { name, id } of [...specials].sort((a, b) => a.id - b.id)) {
    while (pieces.count < id) pieces.add(new Uint8Array(), { type: 0 });
    if (pieces.count === id) pieces.addText(name, { type: PIECE_TYPE.control });
  }
  return pieces.finish();
}

/** The special tokens that a rank file of this size has where nothing beside it names them. */
export function usualSpecials(ranks: number): SpecialToken[] {
  if (ranks !== LLAMA3_RANKS) return [];
  return llama3SpecialNames().map((name, i) => ({ name, id: ranks + i, flags: 0 }));
}

/** The definition of a rank file with the given special tokens. */
export function defineTiktoken(
  ranks: PieceList,
  specials: readonly SpecialToken[],
  options: { file: string },
): TokenizerDefinition {
  const pieces = withSpecialPieces(ranks, specials);
  const find = (...names: string[]): number | undefined =>
    names.map((name) => specials.find((special) => special.name === name)?.id)
      .find((id) => id !== undefined);
  const bosId = find("<|begin_of_text|>", "<s>");
  const eosId = find("<|end_of_text|>", "</s>", "<|endoftext|>");
  return {
    kind: "tiktoken",
    file: options.file,
    vocabSize: pieceCount(pieces),
    description: {
      family: "bytes",
      flags: FLAG.wholeFirst,
      prefix: PREFIX.none,
      pieces: ranks,
      ranks: Uint32Array.from({ length: pieceCount(ranks) }, (_, id) => id),
      unknown: NONE,
      byteIds: new Uint32Array(256).fill(NONE),
      merges: NO_TEXTS,
      specials,
      charsmap: new Uint8Array(),
    },
    decode: byteDecodeTable(pieces, new Set(specials.map(({ id }) => id))),
    pieces,
    replaceBytes: false,
    normalization: "none; split by Llama 3's pattern",
    bosId,
    eosId,
    unkId: undefined,
    padId: find("<|finetune_right_pad_id|>", "<pad>"),
    endIds: endIds(eosId, specials),
    addBos: bosId !== undefined,
    addEos: false,
  };
}
