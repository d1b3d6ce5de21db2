/**
 * Byte-pair encoding by the book: of all neighbours whose concatenation is a piece, the pair with the
 * highest score merges first, the leftmost among equals (Sennrich et al. 2016; google/sentencepiece,
 * bpe_model.cc).
 *
 * @module
 */

import { PIECE_TYPE, pieceCount, type PieceList, pieceText } from "../formats/piece_list.ts";

/** Encodes text in which spaces are written as the pieces write them. */
export class PlainBpe {
  readonly #ids = new Map<string, number>();
  readonly #scores: Float32Array;
  readonly #firstByte: number;
  readonly #unknown: number;

  /** Indexes the pieces that text can become. */
  constructor(pieces: PieceList) {
    this.#scores = pieces.scores;
    const { types } = pieces;
    for (let id = 0; id < pieceCount(pieces); id++) {
      const type = types[id];
      const matches = type === PIECE_TYPE.normal || type === PIECE_TYPE.userDefined;
      const text = matches ? pieceText(pieces, id) : "";
      if (matches && !this.#ids.has(text)) this.#ids.set(text, id);
    }
    this.#firstByte = types.indexOf(PIECE_TYPE.byte);
    this.#unknown = Math.max(types.indexOf(PIECE_TYPE.unknown), 0);
  }

  /** The ids of a text, without begin or end. */
  encode(text: string): number[] {
    const symbols = [...text];
    for (;;) {
      let best = -1;
      let bestScore = -Infinity;
      for (let i = 0; i + 1 < symbols.length; i++) {
        const id = this.#ids.get(symbols[i]! + symbols[i + 1]!);
        if (id === undefined || this.#scores[id]! <= bestScore) continue;
        best = i;
        bestScore = this.#scores[id]!;
      }
      if (best < 0) break;
      symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
    }
    return symbols.flatMap((symbol) => {
      const id = this.#ids.get(symbol);
      if (id !== undefined) return [id];
      if (this.#firstByte < 0) return [this.#unknown];
      return [...new TextEncoder().encode(symbol)].map((byte) => this.#firstByte + byte);
    });
  }
}
