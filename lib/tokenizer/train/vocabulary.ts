/**
 * From learned pieces to a vocabulary: every piece its id, score and type.
 *
 * @module
 */

import { LlameroError } from "../../base/errors.ts";
import { formatInteger } from "../../base/format.ts";
import { quoted } from "../../base/quoted.ts";
import { PIECE_TYPE, type PieceList, PieceListBuilder } from "../../formats/piece_list.ts";
import type { PackedTexts } from "../description.ts";
import type { MetaPiece } from "./meta_pieces.ts";
import type { ByteTraining, PieceTraining } from "./options.ts";

function failure(what: string, hint: string): LlameroError {
  return new LlameroError(`Cannot train a tokenizer: ${what}`, { hint });
}

/** The error for a vocabulary that is larger than the text allows. */
export function tooLarge(wanted: number, possible: number): LlameroError {
  return failure(
    `the vocabulary size is ${formatInteger(wanted)}, and the text allows ${
      formatInteger(possible)
    } at most`,
    `take --vocab-size ${possible} or less, more text, or --no-hard-vocab-limit`,
  );
}

/** How many pieces are to be learned, besides the meta pieces and the alphabet. */
export function piecesToLearn(
  { vocabSize }: PieceTraining,
  { meta, alphabet }: { readonly meta: number; readonly alphabet: number },
): number {
  if (meta + alphabet <= vocabSize) return vocabSize - meta - alphabet;
  throw failure(
    `the vocabulary size is ${formatInteger(vocabSize)}, and the ${
      formatInteger(alphabet)
    } characters of the text and ${formatInteger(meta)} symbols and bytes need ${
      formatInteger(meta + alphabet)
    }`,
    "take a larger --vocab-size, or a smaller --character-coverage",
  );
}

/** Gives meta pieces their ids and the learned ones those that are left, with scores -0, -1, -2, …. */
export function assemblePieces(learned: PackedTexts, meta: readonly MetaPiece[]): PieceList {
  const pieces = new PieceListBuilder();
  const total = learned.ends.length + meta.length;
  let [nextMeta, next] = [0, 0];
  while (pieces.count < total) {
    const piece = meta[nextMeta];
    if (piece?.id === pieces.count) {
      pieces.addText(piece.text, { type: piece.type });
      nextMeta++;
      continue;
    }
    if (next === learned.ends.length) {
      throw failure(
        `the piece ${quoted(piece!.text)} has the id ${piece!.id}, and there are only ${
          formatInteger(total)
        } pieces`,
        "give it a smaller id",
      );
    }
    const start = next === 0 ? 0 : learned.ends[next - 1]!;
    pieces.add(learned.bytes, { start, end: learned.ends[next]!, score: -next });
    next++;
  }
  return pieces.finish();
}

/** The 256 bytes, then what was learned: a piece's id is its rank. */
export function assembleRanks(learned: PackedTexts): PieceList {
  const ranks = new PieceListBuilder();
  for (let byte = 0; byte < 256; byte++) ranks.add(Uint8Array.of(byte));
  let start = 0;
  for (const end of learned.ends) {
    ranks.add(learned.bytes, { start, end });
    start = end;
  }
  return ranks.finish();
}

/** The control symbols of a byte-level vocabulary, whose ids follow the ranks. */
export function controlTokensBehind(
  ranks: PieceList,
  { controlSymbols }: ByteTraining,
): MetaPiece[] {
  const first = ranks.types.length;
  return controlSymbols.map((text, i) => ({ id: first + i, text, type: PIECE_TYPE.control }));
}
