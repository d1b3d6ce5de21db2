/**
 * The list of merges that `tokenizer.json` and GGUF want, from vocabularies that have an order instead:
 * every split of every piece into two pieces (huggingface/transformers, convert_slow_tokenizer.py).
 *
 * @module
 */

import {
  PIECE_TYPE,
  pieceBytes,
  pieceCount,
  type PieceList,
  pieceText,
} from "../formats/piece_list.ts";
import { characterPiece } from "./byte_level.ts";

/** A merge: its left and its right half. */
export type Merge = readonly [left: string, right: string];

interface Split {
  readonly left: string;
  readonly right: string;
  /** Order of merging; lower first. */
  readonly rank: number;
  /** What decides between splits of equal rank, compared in turn. */
  readonly ties: readonly [number, number];
}

function sorted(splits: Split[]): Merge[] {
  splits.sort((a, b) => a.rank - b.rank || a.ties[0] - b.ties[0] || a.ties[1] - b.ties[1]);
  return splits.map(({ left, right }) => [left, right]);
}

/** Ids of pieces by their characters. */
function idsByText(texts: readonly string[]): Map<string, number> {
  return new Map(texts.map((text, id) => [text, id]));
}

/** The merges of a rank file, in GPT-2's characters: the ranks in order, then the halves' ranks. */
export function mergesOfRanks(ranks: PieceList): Merge[] {
  const texts = Array.from(
    { length: pieceCount(ranks) },
    (_, id) => characterPiece(pieceBytes(ranks, id)),
  );
  const ids = idsByText(texts);
  const splits: Split[] = [];
  texts.forEach((text, rank) => {
    for (let at = 1; at < text.length; at++) {
      const left = text.slice(0, at);
      const leftId = ids.get(left);
      if (leftId === undefined) continue;
      const right = text.slice(at);
      const rightId = ids.get(right);
      if (rightId !== undefined) splits.push({ left, right, rank, ties: [leftId, rightId] });
    }
  });
  return sorted(splits);
}

/** The merges of a SentencePiece vocabulary: the scores in order, then the longer halves first. */
export function mergesOfScores(pieces: PieceList): Merge[] {
  const texts = Array.from({ length: pieceCount(pieces) }, (_, id) => pieceText(pieces, id));
  const ids = idsByText(texts);
  const splits: Split[] = [];
  texts.forEach((text, id) => {
    if (pieces.types[id] !== PIECE_TYPE.normal) return;
    const characters = [...text];
    const local: (Split & { readonly ids: readonly [number, number] })[] = [];
    let left = "";
    for (let at = 1; at < characters.length; at++) {
      left += characters[at - 1]!;
      const right = text.slice(left.length);
      const [leftId, rightId] = [ids.get(left), ids.get(right)];
      if (leftId === undefined || rightId === undefined) continue;
      const ties = [-at, at - characters.length] as const;
      local.push({ left, right, rank: -pieces.scores[id]!, ties, ids: [leftId, rightId] });
    }
    local.sort((a, b) => a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1]);
    splits.push(...local);
  });
  return sorted(splits);
}
