/**
 * GPT-2's way to write bytes as characters, which `tokenizer.json` and GGUF use for byte-level
 * vocabularies (openai/gpt-2, encoder.py, `bytes_to_unicode`).
 *
 * @module
 */

import type { PieceList } from "../formats/piece_list.ts";

/** Code point that stands for each byte: printable ones for themselves, the others from U+0100 on. */
export const CHARACTER_OF_BYTE: Uint16Array = characters();

/** Byte of each code point of one or two bytes, or 256. */
const BYTE_OF_CHARACTER: Uint16Array = bytesOfCharacters();

function characters(): Uint16Array {
  const table = new Uint16Array(256);
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    table[byte] = printable ? byte : next++;
  }
  return table;
}

function bytesOfCharacters(): Uint16Array {
  const table = new Uint16Array(0x800).fill(256);
  CHARACTER_OF_BYTE.forEach((character, byte) => table[character] = byte);
  return table;
}

/** Bytes from `start` to before `end` of an array. */
export interface Span {
  /** The array. */
  readonly bytes: Uint8Array;
  /** First byte. */
  readonly start: number;
  /** First byte behind it. */
  readonly end: number;
}

/**
 * Writes the bytes that a piece of characters (in UTF-8) stands for to `target` at `at`; gives the
 * place behind them, or -1 if a character stands for none.
 */
export function bytesOfCharacterPiece(piece: Span, to: { target: Uint8Array; at: number }): number {
  const { bytes, end } = piece;
  let { at } = to;
  for (let i = piece.start; i < end; i++) {
    const lead = bytes[i]!;
    // Every code point of the table has one byte or two.
    if (lead >= 0x80 && ((lead & 0xe0) !== 0xc0 || i + 1 >= end)) return -1;
    const character = lead < 0x80 ? lead : (lead & 31) << 6 | bytes[++i]! & 63;
    const byte = BYTE_OF_CHARACTER[character]!;
    if (byte === 256) return -1;
    to.target[at++] = byte;
  }
  return at;
}

/**
 * The bytes that texts of characters stand for, or the number of the first text with a character that
 * stands for none.
 */
export function bytesOfCharacterTexts(
  { bytes, ends }: { readonly bytes: Uint8Array; readonly ends: Uint32Array },
): { bytes: Uint8Array; ends: Uint32Array } | number {
  const target = new Uint8Array(bytes.length);
  const targetEnds = new Uint32Array(ends.length);
  let from = 0;
  let at = 0;
  for (let text = 0; text < ends.length; text++) {
    const end = ends[text]!;
    while (from < end) {
      const lead = bytes[from++]!;
      if (lead >= 0x80 && ((lead & 0xe0) !== 0xc0 || from >= end)) return text;
      const character = lead < 0x80 ? lead : (lead & 31) << 6 | bytes[from++]! & 63;
      const byte = BYTE_OF_CHARACTER[character]!;
      if (byte === 256) return text;
      target[at++] = byte;
    }
    targetEnds[text] = at;
  }
  return { bytes: target.slice(0, at), ends: targetEnds };
}

/** Pieces of bytes as characters in UTF-8. */
export function characterPieces(
  { bytes, offsets }: Pick<PieceList, "bytes" | "offsets">,
): Pick<PieceList, "bytes" | "offsets"> {
  // No character of the table has more than two bytes.
  const written = new Uint8Array(2 * bytes.length);
  const ends = new Uint32Array(offsets.length);
  let at = 0;
  for (let piece = 0; piece + 1 < offsets.length; piece++) {
    for (let i = offsets[piece]!; i < offsets[piece + 1]!; i++) {
      const character = CHARACTER_OF_BYTE[bytes[i]!]!;
      if (character >= 0x80) written[at++] = 0xc0 | character >> 6;
      written[at++] = character < 0x80 ? character : 0x80 | character & 63;
    }
    ends[piece + 1] = at;
  }
  return { bytes: written.slice(0, at), offsets: ends };
}

/** A piece of bytes as characters. */
export function characterPiece(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(CHARACTER_OF_BYTE[byte]!);
  return text;
}
