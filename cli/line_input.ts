/**
 * Input of any size, by whole lines.
 *
 * @module
 */

import { type FileHandle, open } from "node:fs/promises";
import { fileError } from "../lib/base/file_error.ts";
import { joined } from "../lib/base/joined.ts";
import { splitLines } from "../lib/tokenizer/id_lines.ts";
import type { Io } from "./io.ts";

const LINE_END = 0x0a;
const PART_BYTES = 1 << 22;

/** Many lines at once. */
export interface LineBatch {
  /** The lines one after another, without their ends. */
  readonly bytes: Uint8Array;
  /** End of each line in `bytes`. */
  readonly ends: Uint32Array;
  /** Number of lines before these. */
  readonly before: number;
  /** Offset of the first of these lines in the input. */
  readonly offset: number;
}

async function* fileParts(path: string): AsyncGenerator<Uint8Array> {
  try {
    await using file = await open(path);
    for (;;) {
      const part = new Uint8Array(PART_BYTES);
      const { bytesRead } = await file.read(part, 0, part.length);
      if (bytesRead === 0) return;
      yield part.subarray(0, bytesRead);
    }
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
}

/** The bytes of a file, or of stdin for `-` or nothing, as they come. */
function inputParts(path: string | undefined, io: Io): AsyncIterable<Uint8Array> {
  return path === undefined || path === "-" ? io.stdin.readable() : fileParts(path);
}

/** All bytes of a file, or of stdin for `-` or nothing. */
export async function inputBytes(path: string | undefined, io: Io): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of inputParts(path, io)) parts.push(part);
  return wholeOf(parts);
}

/** All parts as one; a single one is not copied. */
function wholeOf(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0]! : joined(Uint8Array, parts);
}

/** Whole lines with their ends, and where they stand in the input; valid until the next ones. */
export interface LinePart {
  /** The lines. */
  readonly text: Uint8Array;
  /** Offset of the first of them. */
  readonly offset: number;
}

/** The lines of a file, or of stdin for `-` or nothing, many at a time and with their ends. */
export function inputText(path: string | undefined, io: Io): AsyncGenerator<LinePart> {
  return path === undefined || path === "-" ? linesOf(io.stdin.readable()) : fileLines(path);
}

async function* linesOf(parts: AsyncIterable<Uint8Array>): AsyncGenerator<LinePart> {
  let rest: Uint8Array[] = [];
  let length = 0;
  let offset = 0;
  for await (const part of parts) {
    rest.push(part);
    length += part.length;
    if (length < PART_BYTES) continue;
    const all = wholeOf(rest);
    const end = all.lastIndexOf(LINE_END) + 1;
    rest = [all.slice(end)];
    length = all.length - end;
    if (end === 0) continue;
    yield { text: all.subarray(0, end), offset };
    offset += end;
  }
  const text = wholeOf(rest);
  if (text.length > 0) yield { text, offset };
}

/** The same of a file, the next part of which is read while the last one is made use of. */
async function* fileLines(path: string): AsyncGenerator<LinePart> {
  const file = await named(path, () => open(path));
  let next: Promise<number> = Promise.resolve(0);
  try {
    let [text, other] = [new Uint8Array(PART_BYTES), new Uint8Array(PART_BYTES)];
    let [before, offset] = [0, 0];
    let length = await named(path, () => fill(file, text, 0));
    while (length > before) {
      const end = text.subarray(0, length).lastIndexOf(LINE_END) + 1;
      before = length - end;
      // The longer the line is that has not ended, the more is read at once.
      if (other.length < 2 * before) other = new Uint8Array(PART_BYTES + 2 * before);
      other.set(text.subarray(end, length));
      next = named(path, () => fill(file, other, before));
      // Who stops here learns nothing more of the file.
      next.catch(() => {});
      if (end > 0) yield { text: text.subarray(0, end), offset };
      offset += end;
      length = await next;
      [text, other] = [other, text];
    }
    if (length > 0) yield { text: text.subarray(0, length), offset };
  } finally {
    await next.catch(() => {});
    await file.close();
  }
}

/** Reads until an array is full or the file ends; gives how much of the array is filled then. */
async function fill(file: FileHandle, target: Uint8Array, from: number): Promise<number> {
  let at = from;
  while (at < target.length) {
    const { bytesRead } = await file.read(target, at, target.length - at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return at;
}

/** Does something with a file; what fails names it. */
async function named<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
}

/** The same without their ends; a line end at the very end begins no line. */
export async function* inputLines(
  path: string | undefined,
  io: Io,
): AsyncGenerator<LineBatch> {
  let before = 0;
  for await (const { text, offset } of inputText(path, io)) {
    const batch = splitLines(text);
    yield { ...batch, before, offset };
    before += batch.ends.length;
  }
}
