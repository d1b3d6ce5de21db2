/**
 * JSON as bytes, written piece by piece: a `tokenizer.json` has half a million texts, which as strings
 * of JavaScript need several times the memory of the file.
 *
 * @module
 */

import { characterLength } from "../base/utf8.ts";

const encoder = new TextEncoder();
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Escapes by their character's code, as `JSON.stringify` writes them; empty for characters that stand as they are. */
const ESCAPES: readonly Uint8Array[] = Array.from({ length: 0x80 }, (_, code) => {
  const written = JSON.stringify(String.fromCharCode(code)).slice(1, -1);
  return written.length === 1 ? new Uint8Array() : encoder.encode(written);
});

/** A JSON text in UTF-8 that grows by being appended to. */
export class JsonBytes {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  /** Adds what is JSON already. */
  raw(json: string): void {
    // A unit of UTF-16 is at most three bytes.
    this.#reserve(3 * json.length);
    const room = this.#bytes.subarray(this.#length);
    this.#length += encoder.encodeInto(json, room).written;
  }

  /** Adds `bytes[start, end)` in quotes. */
  text(bytes: Uint8Array, start: number, end: number): void {
    this.#byte(QUOTE);
    this.content(bytes, start, end);
    this.#byte(QUOTE);
  }

  /** Adds `bytes[start, end)` as a part of a text, escaped; what is not UTF-8 becomes U+FFFD. */
  content(bytes: Uint8Array, start: number, end: number): void {
    // A character of one byte is written as six at most.
    this.#reserve(6 * (end - start));
    const target = this.#bytes;
    const before = this.#length;
    let at = before;
    for (let from = start; from < end;) {
      const byte = bytes[from]!;
      const length = byte < 0x80 ? 1 : characterLength(bytes, from);
      if (length <= 0 || from + length > end) {
        this.#length = before;
        const text = new TextDecoder("utf-8", { ignoreBOM: true });
        return this.raw(JSON.stringify(text.decode(bytes.subarray(start, end))).slice(1, -1));
      }
      if (byte < 0x20 || byte === QUOTE || byte === BACKSLASH) {
        for (const escaped of ESCAPES[byte]!) target[at++] = escaped;
        from++;
      } else {
        for (const behind = from + length; from < behind; from++) target[at++] = bytes[from]!;
      }
    }
    this.#length = at;
  }

  /** All that was added. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  #reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(wanted, Math.ceil(1.5 * this.#bytes.length)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
