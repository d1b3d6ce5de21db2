/**
 * tiktoken rank files: a line per token, its bytes in base64, a space, its rank (openai/tiktoken,
 * load.py). Llama 3's `tokenizer.model` is one.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { pieceBytes, pieceCount, type PieceList } from "./piece_list.ts";

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const EQUALS = 0x3d;

const DIGITS = new Uint8Array(256).fill(255);
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".split("").forEach(
  (digit, value) => DIGITS[digit.charCodeAt(0)] = value,
);

/** Whether a file's first bytes look like a rank file: base64, a space, a number. */
export function looksLikeRanks(head: Uint8Array): boolean {
  const line = new TextDecoder("latin1").decode(head.subarray(0, 1024)).split("\n", 1)[0]!;
  return /^[A-Za-z0-9+/]+={0,2} [0-9]+\r?$/.test(line);
}

/** Where one line's parts stand. */
interface Line {
  readonly start: number;
  readonly space: number;
  readonly end: number;
}

/** Parses a rank file; the ranks must be 0, 1, 2, … without holes, in any order of lines. */
export function parseTiktokenRanks(bytes: Uint8Array, file: string): PieceList {
  const refuse = (what: string, offset: number): FormatError =>
    new FormatError(`Cannot read ${quoted(file)} as tiktoken ranks: ${what}`, {
      file,
      offset,
      hint: 'each line must be base64, a space, and the rank, like "IQ== 0"',
    });
  const lines = findLines(bytes, refuse);
  if (lines.length === 0) throw refuse("it has no lines", 0);
  const byRank = new Array<Line | undefined>(lines.length);
  let length = 0;
  for (const line of lines) {
    const rank = parseRank(bytes, line);
    if (rank === undefined) throw refuse("a line ends in no rank", line.space);
    if (rank >= lines.length) {
      const wanted = `wanted 0 to ${lines.length - 1} without holes, as there are ${lines.length}`;
      throw refuse(`a line has the rank ${rank}, ${wanted}`, line.space + 1);
    }
    if (byRank[rank] !== undefined) throw refuse(`two lines have the rank ${rank}`, line.start);
    byRank[rank] = line;
    length += line.space - line.start;
  }
  const data = new Uint8Array(length);
  const offsets = new Uint32Array(lines.length + 1);
  let at = 0;
  byRank.forEach((line, rank) => {
    const end = decodeBase64(bytes, line!, { target: data, at });
    if (end <= at) throw refuse(`the token of rank ${rank} is no base64`, line!.start);
    offsets[rank + 1] = at = end;
  });
  return {
    bytes: data.slice(0, at),
    offsets,
    scores: new Float32Array(lines.length),
    types: new Uint8Array(lines.length).fill(1),
  };
}

function findLines(bytes: Uint8Array, refuse: (what: string, at: number) => FormatError): Line[] {
  const lines: Line[] = [];
  let start = 0;
  while (start < bytes.length) {
    let stop = bytes.indexOf(NEWLINE, start);
    if (stop < 0) stop = bytes.length;
    const end = stop > start && bytes[stop - 1] === RETURN ? stop - 1 : stop;
    if (end > start) {
      let space = start;
      while (space < end && bytes[space] !== SPACE) space++;
      if (space === end || space === start) throw refuse("a line is no token and rank", start);
      lines.push({ start, space, end });
    }
    start = stop + 1;
  }
  return lines;
}

function parseRank(bytes: Uint8Array, { space, end }: Line): number | undefined {
  if (space + 1 >= end || end - space > 10) return undefined;
  let rank = 0;
  for (let i = space + 1; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    rank = rank * 10 + digit;
  }
  return rank;
}

/** Decodes a line's base64 and gives the end of what it wrote, or -1. */
function decodeBase64(
  bytes: Uint8Array,
  line: Line,
  to: { target: Uint8Array; at: number },
): number {
  let end = line.space;
  while (end > line.start && line.space - end < 2 && bytes[end - 1] === EQUALS) end--;
  if ((end - line.start) % 4 === 1) return -1;
  let word = 0;
  let bits = 0;
  let { at } = to;
  for (let i = line.start; i < end; i++) {
    const value = DIGITS[bytes[i]!]!;
    if (value === 255) return -1;
    word = (word << 6 | value) & 0xffff;
    bits += 6;
    if (bits >= 8) to.target[at++] = word >> (bits -= 8);
  }
  return at;
}

/** Writes pieces as a rank file; a piece's id is its rank. */
export function formatTiktokenRanks(pieces: PieceList): Uint8Array {
  const lines: string[] = [];
  for (let id = 0; id < pieceCount(pieces); id++) {
    lines.push(`${pieceBytes(pieces, id).toBase64()} ${id}\n`);
  }
  return new TextEncoder().encode(lines.join(""));
}
