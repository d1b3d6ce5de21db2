/**
 * Lines of text as lines of ids: what `tokenize encode` prints, for tokenizers and lines that the
 * kernels do not take as a whole.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { joined } from "../base/joined.ts";
import type { CompiledTokenizer, TextBatch } from "./compiled_tokenizer.ts";
import type { EncodeOptions } from "./tokenizer.ts";

/** Ids of lines as they are printed, valid until the tokenizer's next call. */
export interface IdLines {
  /** The ids of each line in decimal, with spaces between, and a line end behind each line. */
  readonly bytes: Uint8Array;
  /** How many lines these are. */
  readonly lines: number;
}

/** How lines are encoded: each as a text for itself, with the begin and end tokens that are asked for. */
export interface LineOptions extends EncodeOptions {
  /** Where the lines stand in a file, for errors. */
  readonly offset?: number | undefined;
}

const SPACE = 0x20;
const LINE_END = 0x0a;
const ZERO = 0x30;
/** Digits of the largest id, and what stands behind it. */
const ID_BYTES = 11;
/** A line of more bytes is shared out among threads, which one text of a batch is and a line is not. */
const LONG_LINE = 1 << 20;

/** Lines side by side, without their ends; a line end at the very end begins no line. */
export function splitLines(text: Uint8Array): TextBatch {
  const bytes = new Uint8Array(text.length);
  const ends: number[] = [];
  let length = 0;
  let start = 0;
  while (start < text.length) {
    const found = text.indexOf(LINE_END, start);
    const end = found < 0 ? text.length : found;
    bytes.set(text.subarray(start, end), length);
    length += end - start;
    ends.push(length);
    start = end + 1;
  }
  return { bytes: bytes.subarray(0, length), ends: Uint32Array.from(ends) };
}

/** Whether some line is so long that threads should share it. */
export function hasLongLine(text: Uint8Array): boolean {
  for (let at = 0; at + LONG_LINE < text.length;) {
    const end = text.lastIndexOf(LINE_END, at + LONG_LINE);
    if (end < at) return true;
    at = end + 1;
  }
  return false;
}

/** Encodes lines as one batch and writes their ids. @throws {FormatError} For bytes that are not UTF-8. */
export function encodeLines(
  tokenizer: Pick<CompiledTokenizer, "encodeBatch" | "bosId" | "eosId">,
  { text, offset = 0, ...options }: LineOptions & { readonly text: Uint8Array },
): IdLines {
  const lines = splitLines(text);
  const { ids, counts } = placed(() => tokenizer.encodeBatch(lines, options), lines, offset);
  const before = options.bos === true && tokenizer.bosId !== undefined ? [tokenizer.bosId] : [];
  const behind = options.eos === true && tokenizer.eosId !== undefined ? [tokenizer.eosId] : [];
  const bare = before.length + behind.length === 0;
  let start = 0;
  const parts = Array.from(counts, (count) => {
    const part = ids.subarray(start, start += count);
    return idLine(bare ? part : Uint32Array.from([...before, ...part, ...behind]));
  });
  return { bytes: joined(Uint8Array, parts), lines: counts.length };
}

/** Does it; an error about a byte of lines without their ends becomes one about a byte of the file. */
function placed<T>(encode: () => T, { ends }: TextBatch, offset: number): T {
  try {
    return encode();
  } catch (thrown) {
    if (!(thrown instanceof FormatError) || thrown.offset === undefined) throw thrown;
    const at = thrown.offset;
    const place = offset + at + ends.findIndex((end) => end > at);
    throw new FormatError(`Cannot encode the text: byte ${place} is not UTF-8`, {
      offset: place,
      hint: thrown.hint,
      cause: thrown,
    });
  }
}

/** Ids in decimal, with spaces between and a line end behind. */
function idLine(ids: Uint32Array): Uint8Array {
  const line = new Uint8Array(ids.length * ID_BYTES + 1);
  let at = 0;
  for (const id of ids) {
    if (at > 0) line[at++] = SPACE;
    let digits = 1;
    for (let rest = id; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    let rest = id;
    for (let i = at + digits - 1; i >= at; i--) {
      line[i] = ZERO + rest % 10;
      rest = Math.floor(rest / 10);
    }
    at += digits;
  }
  line[at++] = LINE_END;
  return line.subarray(0, at);
}
