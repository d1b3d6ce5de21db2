/**
 * The files that a tokenizer becomes in each kind of model.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { formatLlama2cTokenizer } from "../formats/llama2c_tokenizer.ts";
import { pieceCount, type PieceList } from "../formats/piece_list.ts";
import { formatSentencePieceModel } from "../formats/sentencepiece_model.ts";
import { formatTiktokenRanks } from "../formats/tiktoken_ranks.ts";
import {
  asLlama2cPieces,
  asSentencePiece,
  beyondMerges,
  cannotHold,
  refusePreparation,
  sentencePieces,
} from "./as_sentencepiece.ts";
import { asTokenizerConfig, asTokenizerJson } from "./as_tokenizer_json.ts";
import { beyondPieces, nearPieces } from "./beyond_pieces.ts";
import { bytesOfCharacterTexts } from "./byte_level.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { FLAG } from "./description.ts";
import { LLAMA3_SPLIT, patternOfFlags } from "./split_patterns.ts";

/** One of the files that a tokenizer is written as. */
export interface TokenizerFile {
  /** Its usual name. */
  readonly name: string;
  /** Its content. */
  readonly bytes: Uint8Array;
}

/** Kinds of models whose tokenizer stands in files; inside GGUF it is metadata (`asGgufMetadata`). */
export type TokenizerTarget = "hf" | "meta" | "llama2c";

/** The ranks of a tokenizer whose bytes merge. @throws {FormatError} If its merges have another order. */
export function asTiktokenRanks(definition: TokenizerDefinition): PieceList {
  const { description, file } = definition;
  if (description.family !== "bytes") throw cannotHold(definition, "tiktoken ranks");
  refusePreparation(definition, "tiktoken ranks");
  const { pieces, flags } = description;
  if ((flags & FLAG.list) === 0) return pieces;
  const count = pieceCount(pieces);
  let ranks = 0;
  while (ranks < count && pieces.offsets[ranks + 1]! > pieces.offsets[ranks]!) ranks++;
  const refuse = (what: string): FormatError =>
    new FormatError(`Cannot write the tokenizer ${quoted(file)} as tiktoken ranks: ${what}`, {
      file,
    });
  const split = patternOfFlags(flags);
  if (split !== LLAMA3_SPLIT) throw refuse(`it splits text by ${split.name}, wanted Llama 3's`);
  for (let id = ranks; id < count; id++) {
    if (pieces.offsets[id + 1]! > pieces.offsets[id]!) throw refuse(`id ${ranks} has no piece`);
  }
  if (!mergesByIds(definition)) throw refuse("its merges are not in the order of their ids");
  return {
    bytes: pieces.bytes,
    offsets: pieces.offsets.slice(0, ranks + 1),
    scores: pieces.scores.slice(0, ranks),
    types: new Uint8Array(ranks).fill(1),
  };
}

/** Whether the results of the listed merges come in the order of their ids. */
function mergesByIds({ description }: TokenizerDefinition): boolean {
  const { pieces } = description;
  const merges = bytesOfCharacterTexts(description.merges);
  if (typeof merges === "number") return false;
  const latin1 = new TextDecoder("latin1");
  const ids = new Map<string, number>();
  for (let id = 0; id < pieceCount(pieces); id++) {
    ids.set(latin1.decode(pieces.bytes.subarray(pieces.offsets[id], pieces.offsets[id + 1])), id);
  }
  let last = -1;
  for (let i = 0; i < merges.ends.length; i += 2) {
    const start = i === 0 ? 0 : merges.ends[i - 1]!;
    const id = ids.get(latin1.decode(merges.bytes.subarray(start, merges.ends[i + 1])));
    if (id === undefined || id < last) return false;
    last = id;
  }
  return true;
}

/** Whether a SentencePiece model says all that a tokenizer does whose characters merge. */
function fitsModel(definition: TokenizerDefinition): boolean {
  if (definition.model !== undefined) return true;
  if (definition.preparation !== undefined) return false;
  return nearPieces(definition) === undefined &&
    beyondPieces(definition, sentencePieces(definition)) === undefined;
}

/**
 * The files of a tokenizer for a kind of model.
 *
 * @throws {FormatError} If that kind cannot hold it.
 */
export function tokenizerFiles(
  definition: TokenizerDefinition,
  target: TokenizerTarget,
): TokenizerFile[] {
  const encoder = new TextEncoder();
  const symbols = definition.description.family === "symbols";
  const model = (): TokenizerFile => ({
    name: "tokenizer.model",
    bytes: symbols
      ? formatSentencePieceModel(asSentencePiece(definition))
      : formatTiktokenRanks(asTiktokenRanks(definition)),
  });
  switch (target) {
    case "meta":
      return [model()];
    case "llama2c":
      return [{
        name: "tokenizer.bin",
        bytes: formatLlama2cTokenizer(asLlama2cPieces(definition)),
      }];
    case "hf":
      return [
        // Llama 3's folders have no rank file, whose name would be taken for a SentencePiece model.
        ...(symbols && fitsModel(definition) ? [model()] : []),
        ...(beyondMerges(definition) === undefined
          ? [{ name: "tokenizer.json", bytes: asTokenizerJson(definition) }]
          : []),
        { name: "tokenizer_config.json", bytes: encoder.encode(asTokenizerConfig(definition)) },
      ];
  }
}
