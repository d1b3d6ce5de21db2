/**
 * The list of merges that `tokenizer.json` and GGUF want, from vocabularies that have an order instead:
 * every split of every piece into two pieces (huggingface/transformers, convert_slow_tokenizer.py).
 *
 * @module
 */

import { PIECE_TYPE, pieceCount, type PieceList } from "../formats/piece_list.ts";
import { characterPieces } from "./byte_level.ts";
import { type Description, FLAG } from "./description.ts";
import { PieceIndex } from "./piece_index.ts";

/** Texts one after another; text `i` is `bytes[offsets[i], offsets[i + 1])`. */
export type Texts = Pick<PieceList, "bytes" | "offsets">;

/** Merges, as the numbers of their halves among the texts. */
export interface MergeList {
  /** The halves, in UTF-8. */
  readonly texts: Texts;
  /** The merges in their order, one by one, since there are many. */
  readonly merges: Iterable<readonly [left: number, right: number]>;
}

/** Numbers that a split takes. */
const WORDS = 5;

/** A piece in two. */
interface Split {
  /** The piece. */
  readonly id: number;
  /** What decides between splits whose pieces are equal in order, compared in turn: lower first. */
  readonly ties: readonly [number, number];
  /** Id of its left part. */
  readonly left: number;
  /** Id of its right part. */
  readonly right: number;
}

/** Splits of pieces by the ids of their halves; a large vocabulary has too many for an object each. */
class Splits {
  #words = new Int32Array(WORDS << 10);
  #count = 0;

  /** Adds one. */
  add({ id, ties, left, right }: Split): void {
    if (WORDS * this.#count === this.#words.length) {
      const larger = new Int32Array(2 * this.#words.length);
      larger.set(this.#words);
      this.#words = larger;
    }
    const words = this.#words;
    let next = WORDS * this.#count++;
    words[next++] = id;
    words[next++] = ties[0];
    words[next++] = ties[1];
    words[next++] = left;
    words[next++] = right;
  }

  /** The halves in the order of the pieces, then of the ties. */
  *sorted(order: (a: number, b: number) => number): Generator<readonly [number, number]> {
    const words = this.#words;
    const places = Uint32Array.from({ length: this.#count }, (_, i) => i);
    places.sort((a, b) =>
      order(words[WORDS * a]!, words[WORDS * b]!) ||
      words[WORDS * a + 1]! - words[WORDS * b + 1]! ||
      words[WORDS * a + 2]! - words[WORDS * b + 2]!
    );
    for (const i of places) yield [words[WORDS * i + 3]!, words[WORDS * i + 4]!];
  }
}

/** The merges of a rank file: the ranks in order, then the halves' ranks. */
function mergesOfRanks(ranks: PieceList): Iterable<readonly [number, number]> {
  const { offsets } = ranks;
  const index = new PieceIndex(ranks);
  const splits = new Splits();
  for (let id = 0; id < pieceCount(ranks); id++) {
    const end = offsets[id + 1]!;
    for (let middle = offsets[id]! + 1; middle < end; middle++) {
      const left = index.find(offsets[id]!, middle);
      const right = left < 0 ? -1 : index.find(middle, end);
      if (right >= 0) splits.add({ id, ties: [left, right], left, right });
    }
  }
  return splits.sorted((a, b) => a - b);
}

/** The merges of a byte-level tokenizer, in GPT-2's characters, which may have them as a list already. */
export function byteLevelMerges({ flags, pieces, merges }: Description): MergeList {
  if ((flags & FLAG.list) === 0) {
    return { texts: characterPieces(pieces), merges: mergesOfRanks(pieces) };
  }
  const { bytes, ends } = merges;
  const offsets = new Uint32Array(ends.length + 1);
  offsets.set(ends, 1);
  return { texts: { bytes, offsets }, merges: neighbours(ends.length) };
}

function* neighbours(count: number): Generator<readonly [number, number]> {
  for (let i = 0; i < count; i += 2) yield [i, i + 1];
}

/** Whether a piece is of U+2581 alone: a run of spaces. */
export function isMarks(piece: string): boolean {
  return /^\u2581+$/.test(piece);
}

/** The merges of a SentencePiece vocabulary: the scores in order, then the longer halves first. */
export function mergesOfScores(pieces: PieceList): MergeList {
  const { bytes, offsets, types, scores } = pieces;
  const index = new PieceIndex(pieces);
  const splits = new Splits();
  const ends: number[] = [];
  for (let id = 0; id < pieceCount(pieces); id++) {
    if (types[id] !== PIECE_TYPE.normal) continue;
    const start = offsets[id]!;
    const end = offsets[id + 1]!;
    ends.length = 0;
    // Before each byte that begins a character, one ends.
    for (let at = start + 1; at <= end; at++) {
      if (at === end || (bytes[at]! & 0xc0) !== 0x80) ends.push(at);
    }
    for (let at = ends.length - 1; at >= 1; at--) {
      const middle = ends[at - 1]!;
      const left = index.find(start, middle);
      const right = left < 0 ? -1 : index.find(middle, end);
      if (right >= 0) splits.add({ id, ties: [-at, at - ends.length], left, right });
    }
  }
  return { texts: pieces, merges: splits.sorted((a, b) => scores[b]! - scores[a]!) };
}
