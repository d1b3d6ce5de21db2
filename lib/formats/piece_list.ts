/**
 * A vocabulary as flat arrays: texts one after another, scores, types. This is what every tokenizer
 * format is read into and written from; a quarter of a million pieces cost no object each.
 *
 * @module
 */

/** What a piece is, with SentencePiece's codes (sentencepiece_model.proto, `SentencePiece.Type`). */
export const PIECE_TYPE = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** The pieces of a vocabulary in id order. */
export interface PieceList {
  /** Texts of all pieces, one after another: UTF-8, or raw bytes in byte-level vocabularies. */
  readonly bytes: Uint8Array;
  /** Piece `i` is `bytes[offsets[i], offsets[i + 1])`; one more entry than there are pieces. */
  readonly offsets: Uint32Array;
  /** Score of each piece; higher merges first. */
  readonly scores: Float32Array;
  /** Type of each piece, a code of {@linkcode PIECE_TYPE}. */
  readonly types: Uint8Array;
}

/** Number of pieces: ids are all below it. */
export function pieceCount(pieces: PieceList): number {
  return pieces.types.length;
}

/** The bytes of one piece, as a view. */
export function pieceBytes(pieces: PieceList, id: number): Uint8Array {
  return pieces.bytes.subarray(pieces.offsets[id], pieces.offsets[id + 1]);
}

// A piece may be U+FEFF itself, which a decoder would take for a byte order mark.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text of one piece; bytes that are not UTF-8 become U+FFFD. */
export function pieceText(pieces: PieceList, id: number): string {
  return decoder.decode(pieceBytes(pieces, id));
}

/** Collects pieces into a {@linkcode PieceList}. */
export class PieceListBuilder {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;
  #offsets = new Uint32Array(1 << 10);
  #scores = new Float32Array(1 << 10);
  #types = new Uint8Array(1 << 10);
  /** Pieces so far. */
  count = 0;

  /** Adds a piece from a part of `source`. */
  add(
    source: Uint8Array,
    options: { start?: number; end?: number; score?: number; type?: number } = {},
  ): void {
    const { start = 0, end = source.length, score = 0, type = PIECE_TYPE.normal } = options;
    if (this.count + 1 >= this.#offsets.length) this.#growPieces();
    if (this.#length + end - start > this.#bytes.length) this.#growBytes(end - start);
    // Most pieces are a few bytes: cheaper by hand than a subarray and a set.
    for (let i = start; i < end; i++) this.#bytes[this.#length++] = source[i]!;
    this.#scores[this.count] = score;
    this.#types[this.count] = type;
    this.#offsets[++this.count] = this.#length;
  }

  /** Adds a piece from its text. */
  addText(text: string, options: { score?: number; type?: number } = {}): void {
    this.add(new TextEncoder().encode(text), options);
  }

  #growPieces(): void {
    const size = this.#offsets.length * 2;
    const offsets = new Uint32Array(size);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
    const scores = new Float32Array(size);
    scores.set(this.#scores);
    this.#scores = scores;
    const types = new Uint8Array(size);
    types.set(this.#types);
    this.#types = types;
  }

  #growBytes(more: number): void {
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
  }

  /** The pieces added so far. */
  finish(): PieceList {
    return {
      bytes: this.#bytes.slice(0, this.#length),
      offsets: this.#offsets.slice(0, this.count + 1),
      scores: this.#scores.slice(0, this.count),
      types: this.#types.slice(0, this.count),
    };
  }
}
