/**
 * Ids of pieces by their bytes.
 *
 * @module
 */

import { pieceCount, type PieceList } from "../formats/piece_list.ts";

/** A table of the pieces of a vocabulary, by open addressing over their bytes. */
export class PieceIndex {
  readonly #pieces: PieceList;
  /** An id plus one; 0 is free. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** Enters all pieces; of equal ones the last. */
  constructor(pieces: PieceList) {
    this.#pieces = pieces;
    let size = 1024;
    while (size < 2 * pieceCount(pieces)) size *= 2;
    this.#slots = new Int32Array(size);
    this.#mask = size - 1;
    for (let id = 0; id < pieceCount(pieces); id++) {
      this.#slots[this.#slot(pieces.offsets[id]!, pieces.offsets[id + 1]!)] = id + 1;
    }
  }

  /** The id of the piece that is `[start, end)` of the vocabulary's own bytes, or -1. */
  find(start: number, end: number): number {
    return this.#slots[this.#slot(start, end)]! - 1;
  }

  /** Where these bytes are, or would be. */
  #slot(start: number, end: number): number {
    const { bytes, offsets } = this.#pieces;
    // FNV-1a, whose low bits are folded once more, since the table is cut to them.
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    let slot = (hash ^ hash >>> 15) & this.#mask;
    for (;; slot = slot + 1 & this.#mask) {
      const id = this.#slots[slot]! - 1;
      if (id < 0) return slot;
      const first = offsets[id]!;
      if (offsets[id + 1]! - first !== end - start) continue;
      let i = 0;
      while (i < end - start && bytes[first + i] === bytes[start + i]) i++;
      if (i === end - start) return slot;
    }
  }
}
