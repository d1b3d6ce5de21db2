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

/** The lines of a file, in its order. */
interface Lines {
  readonly count: number;
  /** First byte of each line, and the space behind its token. */
  readonly starts: Uint32Array;
  readonly spaces: Uint32Array;
  readonly ranks: Uint32Array;
  /** The tokens' bytes, one after another, and where each ends. */
  readonly data: Uint8Array;
  readonly ends: Uint32Array;
}

/** Bytes of the shortest line: two digits, a space, a rank and the line's end. */
const SHORTEST_LINE = 5;
const LONGEST_RANK = 9;

/** Parses a rank file; the ranks must be 0, 1, 2, … without holes, in any order of lines. */
export function parseTiktokenRanks(bytes: Uint8Array, file: string): PieceList {
  const refuse: Refuse = (what, offset) =>
    new FormatError(`Cannot read ${quoted(file)} as tiktoken ranks: ${what}`, {
      file,
      offset,
      hint: 'each line must be base64, a space, and the rank, like "IQ== 0"',
    });
  const lines = readLines(bytes, refuse);
  const { count, data, ends } = lines;
  if (count === 0) throw refuse("it has no lines", 0);
  const order = linesByRank(lines, refuse);
  const all = new Uint8Array(ends[count - 1]!);
  const offsets = new Uint32Array(count + 1);
  let at = 0;
  for (let rank = 0; rank < count; rank++) {
    const line = order[rank]!;
    const end = ends[line]!;
    for (let i = line === 0 ? 0 : ends[line - 1]!; i < end; i++) all[at++] = data[i]!;
    offsets[rank + 1] = at;
  }
  const types = new Uint8Array(count).fill(1);
  return { bytes: all, offsets, scores: new Float32Array(count), types };
}

type Refuse = (what: string, offset: number) => FormatError;

/** The line of each rank. */
function linesByRank({ count, starts, spaces, ranks }: Lines, refuse: Refuse): Uint32Array {
  const order = new Uint32Array(count).fill(count);
  for (let line = 0; line < count; line++) {
    const rank = ranks[line]!;
    if (rank >= count) {
      const wanted = `wanted 0 to ${count - 1} without holes, as there are ${count}`;
      throw refuse(`a line has the rank ${rank}, ${wanted}`, spaces[line]! + 1);
    }
    if (order[rank] !== count) throw refuse(`two lines have the rank ${rank}`, starts[line]!);
    order[rank] = line;
  }
  return order;
}

/** Reads all lines in one pass, decoding their base64 as it goes. */
function readLines(bytes: Uint8Array, refuse: Refuse): Lines {
  const most = Math.ceil((bytes.length + 1) / SHORTEST_LINE);
  const [starts, spaces, ranks, ends] = [0, 0, 0, 0].map(() => new Uint32Array(most)) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  const data = new Uint8Array(bytes.length);
  let [count, at, i] = [0, 0, 0];
  while (i < bytes.length) {
    if (bytes[i] === NEWLINE || (bytes[i] === RETURN && (bytes[i + 1] ?? NEWLINE) === NEWLINE)) {
      i++;
      continue;
    }
    const start = i;
    let word = 0;
    let bits = 0;
    const before = at;
    for (; i < bytes.length; i++) {
      const value = DIGITS[bytes[i]!]!;
      if (value === 255) break;
      word = (word << 6 | value) & 0xffff;
      bits += 6;
      if (bits >= 8) data[at++] = word >> (bits -= 8);
    }
    const digits = i - start;
    while (bytes[i] === EQUALS && i - start - digits < 2) i++;
    if (bytes[i] !== SPACE || digits % 4 === 1 || at === before) {
      throw wrongToken(bytes, start, refuse);
    }
    const space = i++;
    let rank = 0;
    for (; bytes[i]! >= 0x30 && bytes[i]! <= 0x39 && i - space <= LONGEST_RANK; i++) {
      rank = rank * 10 + bytes[i]! - 0x30;
    }
    const end = bytes[i] === RETURN ? i + 1 : i;
    if (i === space + 1 || (end < bytes.length && bytes[end] !== NEWLINE)) {
      throw refuse("a line ends in no rank", space);
    }
    i = end;
    starts[count] = start;
    spaces[count] = space;
    ranks[count] = rank;
    ends[count++] = at;
  }
  return { count, starts, spaces, ranks, data, ends };
}

/** What is wrong with a line that does not begin with a token and a space. */
function wrongToken(bytes: Uint8Array, start: number, refuse: Refuse): FormatError {
  const stop = bytes.indexOf(NEWLINE, start);
  const line = new TextDecoder("latin1").decode(bytes.subarray(start, stop < 0 ? undefined : stop));
  const found = /^[^ ]+ ([0-9]{1,9})\r?$/.exec(line);
  return found === null
    ? refuse("a line is no token and rank", start)
    : refuse(`the token of rank ${found[1]} is no base64`, start);
}

/** Writes pieces as a rank file; a piece's id is its rank. */
export function formatTiktokenRanks(pieces: PieceList): Uint8Array {
  const lines: string[] = [];
  for (let id = 0; id < pieceCount(pieces); id++) {
    lines.push(`${pieceBytes(pieces, id).toBase64()} ${id}\n`);
  }
  return new TextEncoder().encode(lines.join(""));
}
