/**
 * JSON Lines whose records have a text: one document for each line that is not blank.
 *
 * @module
 */

import { asError, FormatError } from "../base/errors.ts";
import { onOneLine, quoted, quotedPath } from "../base/quoted.ts";
import { malformedAt } from "../base/utf8.ts";
import { HeldBytes } from "./held_bytes.ts";
import type { DocumentReader, ReadingPlace, TextBlock } from "./text_blocks.ts";

const NEWLINE = 0x0a;
/** Longer strings are more than JavaScript can hold. */
const LONGEST_LINE = 1 << 28;

/** Reads one field of every line. */
export class JsonLinesReader implements DocumentReader {
  readonly #file: string;
  readonly #field: string;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #encoder = new TextEncoder();
  readonly #held = new HeldBytes();
  #bytes = new Uint8Array();
  /** Lines before those of the block, and the byte where these begin. */
  #line: number;
  #start: number;

  /** Reads `file` from a place that begins a line. */
  constructor(
    file: string,
    { start, field }: { readonly start: ReadingPlace; readonly field: string },
  ) {
    this.#file = file;
    this.#field = field;
    this.#line = start.line;
    this.#start = start.byte;
  }

  /** The texts of the lines that a chunk completes. */
  push(chunk: Uint8Array): TextBlock {
    const whole = chunk.lastIndexOf(NEWLINE) + 1;
    const lines = whole === 0 ? chunk.subarray(0, 0) : this.#held.take(chunk.subarray(0, whole));
    this.#held.hold(chunk.subarray(whole));
    const block = this.#block(lines);
    if (this.#held.length > LONGEST_LINE) {
      throw this.#refuse(0, lines, `is longer than ${LONGEST_LINE} bytes`);
    }
    return block;
  }

  /** The text of a last line that no line break ends. */
  end(): TextBlock {
    return this.#block(this.#held.take());
  }

  #block(lines: Uint8Array): TextBlock {
    if (this.#bytes.length < lines.length) this.#bytes = new Uint8Array(lines.length);
    const ends: number[] = [];
    let length = 0;
    const rows = this.#decode(lines).split("\n");
    rows.forEach((row, i) => {
      const text = this.#textOf(row, (what) => this.#refuse(i, lines, what));
      if (text === undefined) return;
      // A text is never longer than the line that it stands in.
      length += this.#encoder.encodeInto(text, this.#bytes.subarray(length)).written;
      ends.push(length);
    });
    this.#line += rows.length - 1;
    this.#start += lines.length;
    const resume = { byte: this.#start, line: this.#line };
    return { bytes: this.#bytes.subarray(0, length), ends, resume };
  }

  #decode(lines: Uint8Array): string {
    try {
      return this.#decoder.decode(lines);
    } catch (cause) {
      const at = malformedAt(lines);
      const offset = this.#start + at;
      const byte = lines[at]!.toString(16).padStart(2, "0");
      throw new FormatError(
        `Cannot read ${quotedPath(this.#file)}: byte ${offset} (0x${byte}) is not UTF-8`,
        { file: this.#file, offset, cause, hint: "convert it first: iconv -f LATIN1 -t UTF-8" },
      );
    }
  }

  #textOf(row: string, refuse: (what: string) => Error): string | undefined {
    const mark = this.#start === 0 && row.startsWith("\ufeff") ? 1 : 0;
    const json = mark === 0 ? row : row.slice(mark);
    if (json.trim() === "") return undefined;
    let record: unknown;
    try {
      record = JSON.parse(json);
    } catch (thrown) {
      throw refuse(`is no JSON: ${onOneLine(asError(thrown).message)}`);
    }
    if (typeof record !== "object" || record === null || Array.isArray(record)) {
      throw refuse("is no JSON object");
    }
    const text = Object.hasOwn(record, this.#field)
      ? (record as Record<string, unknown>)[this.#field]
      : undefined;
    if (typeof text !== "string") {
      const what = text === undefined ? "is not there" : "is no string";
      throw refuse(`has no text: the field ${quoted(this.#field)} ${what}`);
    }
    return text;
  }

  /** The error for the `row`-th line of a block. */
  #refuse(row: number, lines: Uint8Array, what: string): FormatError {
    let at = 0;
    for (let i = 0; i < row; i++) at = lines.indexOf(NEWLINE, at) + 1;
    const offset = this.#start + at;
    const line = this.#line + row + 1;
    return new FormatError(`Cannot read ${quotedPath(this.#file)}: line ${line} ${what}`, {
      file: this.#file,
      offset,
      hint: 'a line must be an object such as {"text": "..."}; --field names another field',
    });
  }
}
