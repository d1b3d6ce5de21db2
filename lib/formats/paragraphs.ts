/**
 * Plain text whose documents are separated by blank lines.
 *
 * @module
 */

import { HeldBytes } from "./held_bytes.ts";
import type { DocumentReader, TextBlock } from "./text_blocks.ts";

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;

/**
 * Cuts at lines that have nothing but spaces, tabs and carriage returns. A document neither begins nor
 * ends with a line break.
 */
export class ParagraphReader implements DocumentReader {
  readonly #held = new HeldBytes();
  #bytes = new Uint8Array();
  #ends: number[] = [];
  #length = 0;
  /** Whether the document has text already, whose last line break is not given yet. */
  #inside = false;
  /** The byte where the lines of a block begin, and where a document that is not over began. */
  #start: number;
  #begun = 0;

  /** Reads from byte `start` on, which begins a line outside a document. */
  constructor(start: number) {
    this.#start = start;
  }

  /** The documents, as far as the chunk makes them certain. */
  push(chunk: Uint8Array): TextBlock {
    const whole = chunk.lastIndexOf(NEWLINE) + 1;
    if (whole === 0) {
      this.#held.hold(chunk);
      return this.#block(new Uint8Array());
    }
    const lines = this.#held.take(chunk.subarray(0, whole));
    this.#held.hold(chunk.subarray(whole));
    return this.#block(lines);
  }

  /** The last document. */
  end(): TextBlock {
    const last = this.#held.take();
    const block = this.#block(last);
    if (!this.#inside) return block;
    this.#inside = false;
    const resume = { byte: this.#start, line: 0 };
    return { bytes: block.bytes, ends: [...this.#ends, this.#length], resume };
  }

  #block(lines: Uint8Array): TextBlock {
    if (this.#bytes.length < lines.length + 1) this.#bytes = new Uint8Array(lines.length + 1);
    this.#ends = [];
    this.#length = 0;
    for (let start = 0; start < lines.length;) {
      const newline = lines.indexOf(NEWLINE, start);
      const end = newline < 0 ? lines.length : newline;
      this.#line(lines, start, end);
      start = end + 1;
    }
    this.#start += lines.length;
    const bytes = this.#bytes.subarray(0, this.#length);
    const resume = { byte: this.#inside ? this.#begun : this.#start, line: 0 };
    return { bytes, ends: this.#ends, resume };
  }

  #line(lines: Uint8Array, start: number, end: number): void {
    if (isBlank(lines, start, end)) {
      if (this.#inside) this.#ends.push(this.#length);
      this.#inside = false;
      return;
    }
    if (this.#inside) this.#bytes[this.#length++] = NEWLINE;
    else this.#begun = this.#start + start;
    this.#bytes.set(lines.subarray(start, end), this.#length);
    this.#length += end - start;
    this.#inside = true;
  }
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (byte !== SPACE && byte !== TAB && byte !== RETURN) return false;
  }
  return true;
}
