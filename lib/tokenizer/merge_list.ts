/**
 * The list of merges that `tokenizer.json` and GGUF want, from vocabularies that have an order instead:
 * every split of every piece into two pieces (huggingface/transformers, convert_slow_tokenizer.py).
 *
 * @module
 */

import { PIECE_TYPE, pieceBytes, pieceCount, type PieceList } from "../formats/piece_list.ts";
import { characterPiece } from "./byte_level.ts";
import { type Description, FLAG } from "./description.ts";
import { PieceIndex } from "./piece_index.ts";

const decoder = new TextDecoder();

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
  const ids = new Map<string, number>();
  texts.forEach((text, id) => ids.set(text, id));
  return ids;
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

/** The merges of a byte-level tokenizer, in GPT-2's characters, which may have them as a list already. */
export function byteLevelMerges({ flags, pieces, merges }: Description): Merge[] {
  if ((flags & FLAG.list) === 0) return mergesOfRanks(pieces);
  const { bytes, ends } = merges;
  const half = (i: number): string =>
    decoder.decode(bytes.subarray(i === 0 ? 0 : ends[i - 1], ends[i]));
  return Array.from({ length: ends.length / 2 }, (_, i) => [half(2 * i), half(2 * i + 1)]);
}

/** Numbers that a split takes. */
const WORDS = 5;

/** Splits of pieces by the ids of their halves; a large vocabulary has too many for an object each. */
class Splits {
  #words = new Int32Array(WORDS << 10);
  count = 0;

  /** Adds a split of the piece `id` behind its `at`-th character; `rest` follow that. */
  add(split: { id: number; at: number; rest: number; left: number; right: number }): void {
    if (WORDS * this.count === this.#words.length) {
      const larger = new Int32Array(2 * this.#words.length);
      larger.set(this.#words);
      this.#words = larger;
    }
    const words = this.#words;
    let next = WORDS * this.count++;
    words[next++] = split.id;
    words[next++] = split.at;
    words[next++] = split.rest;
    words[next++] = split.left;
    words[next++] = split.right;
  }

  /** The halves in the order of the scores, then the longer left halves, then the longer right ones. */
  *sorted(scores: Float32Array): Generator<readonly [left: number, right: number]> {
    const words = this.#words;
    const order = Uint32Array.from({ length: this.count }, (_, i) => i);
    order.sort((a, b) =>
      scores[words[WORDS * b]!]! - scores[words[WORDS * a]!]! ||
      words[WORDS * b + 1]! - words[WORDS * a + 1]! ||
      words[WORDS * b + 2]! - words[WORDS * a + 2]!
    );
    for (const i of order) yield [words[WORDS * i + 3]!, words[WORDS * i + 4]!];
  }
}

/**
 * The merges of a SentencePiece vocabulary as the ids of their halves, one by one, since there are
 * many: the scores in order, then the longer halves first.
 */
export function mergesOfScores(
  pieces: PieceList,
): Iterable<readonly [left: number, right: number]> {
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
      if (right >= 0) splits.add({ id, at, rest: ends.length - at, left, right });
    }
  }
  return splits.sorted(scores);
}
