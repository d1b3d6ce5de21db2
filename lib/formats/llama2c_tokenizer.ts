/**
 * llama2.c's `tokenizer.bin`: u32 length of the longest piece, then per id an f32 score, an i32 length
 * and the piece's bytes, little-endian (karpathy/llama2.c, tokenizer.py). There is no count: the file
 * ends after the last piece.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { PIECE_TYPE, pieceCount, type PieceList, PieceListBuilder } from "./piece_list.ts";

/** Id of the first byte piece: after unknown, begin and end. */
const LLAMA2C_FIRST_BYTE = 3;

/** Parses a `tokenizer.bin`; pieces have plain spaces, and byte pieces read `<0xNN>`. */
export function parseLlama2cTokenizer(bytes: Uint8Array, file: string): PieceList {
  const refuse = (what: string, offset: number): FormatError =>
    new FormatError(`Cannot read ${quoted(file)} as a llama2.c tokenizer: ${what}`, {
      file,
      offset,
    });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) throw refuse(`it has ${bytes.length} bytes, wanted at least 4`, 0);
  const longest = view.getUint32(0, true);
  const pieces = new PieceListBuilder();
  let at = 4;
  while (at < bytes.length) {
    const id = pieces.count;
    if (bytes.length - at < 8) throw refuse(`it ends inside the header of piece ${id}`, at);
    const score = view.getFloat32(at, true);
    const length = view.getInt32(at + 4, true);
    if (Number.isNaN(score)) throw refuse(`piece ${id} has the score NaN`, at);
    if (length < 0 || length > longest) {
      throw refuse(`piece ${id} is ${length} bytes long, wanted at most ${longest}`, at + 4);
    }
    if (length > bytes.length - at - 8) throw refuse(`it ends inside piece ${id}`, at + 8);
    const start = at + 8;
    at = start + length;
    pieces.add(bytes, { start, end: at, score, type: pieceType(id) });
  }
  if (pieces.count < LLAMA2C_FIRST_BYTE + 256) {
    throw refuse(`it has ${pieces.count} pieces, wanted at least 259`, at);
  }
  return pieces.finish();
}

function pieceType(id: number): number {
  if (id === 0) return PIECE_TYPE.unknown;
  if (id < LLAMA2C_FIRST_BYTE) return PIECE_TYPE.control;
  return id < LLAMA2C_FIRST_BYTE + 256 ? PIECE_TYPE.byte : PIECE_TYPE.normal;
}

/** Writes pieces (with plain spaces) as a `tokenizer.bin`. */
export function formatLlama2cTokenizer(pieces: PieceList): Uint8Array {
  const count = pieceCount(pieces);
  const bytes = new Uint8Array(4 + count * 8 + pieces.bytes.length);
  const view = new DataView(bytes.buffer);
  let longest = 0;
  let at = 4;
  for (let id = 0; id < count; id++) {
    const start = pieces.offsets[id]!;
    const end = pieces.offsets[id + 1]!;
    longest = Math.max(longest, end - start);
    view.setFloat32(at, pieces.scores[id]!, true);
    view.setInt32(at + 4, end - start, true);
    bytes.set(pieces.bytes.subarray(start, end), at + 8);
    at += 8 + end - start;
  }
  view.setUint32(0, longest, true);
  return bytes;
}
