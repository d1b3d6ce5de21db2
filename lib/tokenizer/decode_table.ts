/**
 * Builds what decoding needs from a vocabulary.
 *
 * @module
 */

import { characterLength } from "../base/utf8.ts";
import {
  PIECE_TYPE,
  pieceBytes,
  pieceCount,
  type PieceList,
  pieceText,
} from "../formats/piece_list.ts";
import { type DecodeTable, SURFACE } from "./detokenizer.ts";

const MARK = [0xe2, 0x96, 0x81] as const;
const SPACE = 0x20;

/** The byte that a piece like `<0x0A>` stands for, or -1. */
export function byteOfPiece(piece: Uint8Array): number {
  if (piece.length !== 6 || piece[0] !== 0x3c || piece[5] !== 0x3e) return -1;
  if (piece[1] !== 0x30 || piece[2] !== 0x78) return -1;
  const high = hexDigit(piece[3]!);
  const low = hexDigit(piece[4]!);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** How pieces become text. */
export interface DecodeRules {
  /** Whether U+2581 is written as a space. */
  readonly marks: boolean;
  /** What an unknown piece writes; its own text where this is absent. */
  readonly unknownSurface?: string | undefined;
  /** Whether control pieces write their names instead of nothing. */
  readonly showControl?: boolean | undefined;
  /** A piece after which a text begins anew. */
  readonly beginId?: number | undefined;
  /** See {@linkcode DecodeTable.malformed}. */
  readonly malformed: "each" | "run";
  /** See {@linkcode DecodeTable.strip}. */
  readonly strip: DecodeTable["strip"];
  /** Ids that `skipSpecial` leaves out. */
  readonly special: ReadonlySet<number>;
}

/** The table of a vocabulary whose pieces are text and single bytes. */
export function pieceDecodeTable(pieces: PieceList, rules: DecodeRules): DecodeTable {
  const count = pieceCount(pieces);
  const kinds = new Uint8Array(count);
  const offsets = new Uint32Array(count + 1);
  const unknown = new TextEncoder().encode(rules.unknownSurface ?? "");
  let unknowns = 0;
  for (const type of pieces.types) if (type === PIECE_TYPE.unknown) unknowns++;
  // A malformed byte becomes three.
  const bytes = new Uint8Array(pieces.bytes.length * 3 + count + unknowns * unknown.length);
  let at = 0;
  for (let id = 0; id < count; id++) {
    const start = pieces.offsets[id]!;
    const end = pieces.offsets[id + 1]!;
    const type = pieces.types[id]!;
    if (type === PIECE_TYPE.byte) {
      kinds[id] = SURFACE.byte;
      bytes[at++] = byteOfPiece(pieceBytes(pieces, id));
    } else if (type === PIECE_TYPE.control && rules.showControl !== true) {
      kinds[id] = id === rules.beginId ? SURFACE.begin : SURFACE.silent;
    } else if (type === PIECE_TYPE.unknown && rules.unknownSurface !== undefined) {
      bytes.set(unknown, at);
      at += unknown.length;
    } else {
      const written = writeText(pieces, id, { target: bytes, at, marks: rules.marks });
      const first = rules.strip === "piece"
        ? pieceText(pieces, id).includes("\u2581")
        : rules.marks
        ? startsWithMark(pieces.bytes, start, end)
        : bytes[at] === SPACE;
      const spaced = first || (rules.strip === "first" && bytes[at] === SPACE);
      if (spaced && written > at) kinds[id] = SURFACE.spaced;
      at = written;
    }
    offsets[id + 1] = at;
  }
  const { malformed, strip, special } = rules;
  return { kinds, offsets, bytes: bytes.slice(0, at), malformed, strip, special };
}

function startsWithMark(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= 3 && bytes[start] === MARK[0] && bytes[start + 1] === MARK[1] &&
    bytes[start + 2] === MARK[2];
}

/** Writes a piece's text; what is not UTF-8 in it becomes U+FFFD. Gives the end. */
function writeText(
  pieces: PieceList,
  id: number,
  to: { target: Uint8Array; at: number; marks: boolean },
): number {
  const { bytes } = pieces;
  const { target, marks } = to;
  const end = pieces.offsets[id + 1]!;
  let { at } = to;
  let from = pieces.offsets[id]!;
  while (from < end) {
    if (marks && startsWithMark(bytes, from, end)) {
      target[at++] = SPACE;
      from += MARK.length;
      continue;
    }
    const length = characterLength(bytes, from);
    if (length <= 0 || from + length > end) return writeSlowly(pieces, id, to);
    for (const behind = from + length; from < behind; from++) target[at++] = bytes[from]!;
  }
  return at;
}

function writeSlowly(
  pieces: PieceList,
  id: number,
  to: { target: Uint8Array; at: number; marks: boolean },
): number {
  const text = pieceText(pieces, id);
  const room = to.target.subarray(to.at);
  return to.at +
    new TextEncoder().encodeInto(to.marks ? text.replaceAll("\u2581", " ") : text, room).written;
}

/** The table of a vocabulary whose ids all write raw bytes. */
export function byteDecodeTable(pieces: PieceList, special: ReadonlySet<number>): DecodeTable {
  return {
    kinds: new Uint8Array(pieceCount(pieces)),
    bytes: pieces.bytes,
    offsets: pieces.offsets,
    special,
    malformed: "bytes",
    strip: "none",
  };
}
