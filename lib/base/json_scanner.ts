/**
 * A strict reader of JSON bytes for headers and indexes from files nobody vouches for.
 *
 * `JSON.parse` lets the last of two equal keys win and rounds large integers; this scanner refuses both, keeps keys such
 * as `__proto__` harmless by giving them to a callback or a `Map`, bounds depth and number of values, and knows the byte
 * offset.
 *
 * @module
 */

import { quoted } from "./quoted.ts";
import { shortAscii } from "./short_ascii.ts";

/** A JSON value; objects are maps, so that no key is special. */
export type JsonValue = null | boolean | number | string | JsonValue[] | Map<string, JsonValue>;

/** Makes the error that is thrown: what is wrong, and at which byte of the scanned bytes. */
export type RefuseJson = (what: string, offset: number) => Error;

/** Nesting beyond this is refused; the formats read here need 4. */
const DEEPEST = 64;

/** Values in one document beyond this are refused, so that time and memory stay bounded whatever the file says. */
const MOST_VALUES = 1 << 20;

/**
 * Keys and strings longer than this many bytes are refused. The engine hashes longer texts than 16383
 * characters by their length alone, so that a set of such keys would take quadratic time.
 */
const LONGEST_KEY = 1 << 13;
const LONGEST_STRING = 1 << 24;

/** Up to this many keys a search through a list is quicker than a set. */
const FEW_KEYS = 8;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

/** Reads JSON from bytes piece by piece; see the module's comment for what it refuses. */
export class JsonScanner {
  /** The byte that is read next. */
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #refuse: RefuseJson;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #depth = 0;
  #values = 0;

  /** Makes a scanner over the bytes whose errors come from `refuse`. */
  constructor(bytes: Uint8Array, refuse: RefuseJson) {
    this.#bytes = bytes;
    this.#refuse = refuse;
  }

  #peek(): number {
    for (;;) {
      const byte = this.#bytes[this.position] ?? -1;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.position++;
    }
  }

  /** The error for what stands at the position, where something else was wanted. */
  unexpected(wanted: string): Error {
    const byte = this.#peek();
    const found = byte < 0
      ? "the end"
      : byte > 0x20 && byte < 0x7f
      ? `'${String.fromCharCode(byte)}'`
      : `byte 0x${byte.toString(16).padStart(2, "0")}`;
    return this.#refuse(`the JSON has ${found} where ${wanted} was wanted`, this.position);
  }

  #expect(byte: number): void {
    if (this.#peek() !== byte) throw this.unexpected(`'${String.fromCharCode(byte)}'`);
    this.position++;
  }

  #enter(): void {
    if (++this.#depth > DEEPEST) {
      throw this.#refuse(`the JSON is nested deeper than ${DEEPEST} levels`, this.position);
    }
  }

  #count(): void {
    if (++this.#values > MOST_VALUES) {
      throw this.#refuse(`the JSON has more than ${MOST_VALUES} values`, this.position);
    }
  }

  /** Reads an object; `member` gets each key and must read its value. A key that comes twice is refused. */
  object(member: (key: string) => void): void {
    this.#enter();
    this.#expect(OPEN_BRACE);
    const keys = new KeySet();
    if (this.#peek() !== CLOSE_BRACE) {
      for (;;) {
        this.#count();
        if (this.#peek() !== QUOTE) throw this.unexpected("a string");
        const start = this.position;
        const key = this.#string(LONGEST_KEY);
        if (!keys.add(key)) {
          throw this.#refuse(`the JSON has the key ${quoted(key)} twice`, start);
        }
        this.#expect(COLON);
        member(key);
        if (this.#peek() !== COMMA) break;
        this.position++;
      }
    }
    if (this.#peek() !== CLOSE_BRACE) throw this.unexpected("',' or '}'");
    this.position++;
    this.#depth--;
  }

  /** Reads an array; `element` must read one value each time it is called. */
  array(element: () => void): void {
    this.#enter();
    this.#expect(OPEN_BRACKET);
    if (this.#peek() !== CLOSE_BRACKET) {
      for (;;) {
        this.#count();
        element();
        if (this.#peek() !== COMMA) break;
        this.position++;
      }
    }
    if (this.#peek() !== CLOSE_BRACKET) throw this.unexpected("',' or ']'");
    this.position++;
    this.#depth--;
  }

  /** Reads a string; invalid UTF-8, raw control characters and lone surrogates are refused. */
  string(): string {
    if (this.#peek() !== QUOTE) throw this.unexpected("a string");
    return this.#string(LONGEST_STRING);
  }

  #string(longest: number): string {
    const start = this.position++;
    const limit = Math.min(this.#bytes.length, start + longest);
    let escaped = false;
    for (;; this.position++) {
      if (this.position >= limit) throw this.#endless(start, limit);
      const byte = this.#bytes[this.position]!;
      if (byte === QUOTE) break;
      if (byte < 0x20) {
        throw this.#refuse("the JSON has a control character in a string", this.position);
      }
      if (byte === BACKSLASH) {
        escaped = true;
        this.position++;
      }
    }
    this.position++;
    if (!escaped) {
      const short = shortAscii(this.#bytes.subarray(start + 1, this.position - 1));
      if (short !== undefined) return short;
    }
    const text = this.#decode(start, escaped);
    if (!text.isWellFormed()) {
      throw this.#refuse("the JSON has half of a surrogate pair in a string", start);
    }
    return text;
  }

  #endless(start: number, limit: number): Error {
    const what = limit === this.#bytes.length
      ? "the JSON ends inside a string"
      : `the JSON has a string of more than ${limit - start} bytes`;
    return this.#refuse(what, limit === this.#bytes.length ? limit : start);
  }

  #decode(start: number, escaped: boolean): string {
    let text: string;
    try {
      text = this.#decoder.decode(this.#bytes.subarray(start, this.position));
    } catch {
      throw this.#refuse("the JSON has invalid UTF-8 in a string", start);
    }
    if (!escaped) return text.slice(1, -1);
    try {
      return JSON.parse(text) as string;
    } catch {
      throw this.#refuse("the JSON has a wrong escape in a string", start);
    }
  }

  /** Reads an integer from 0 to 2^53 - 1 that is written in digits alone; `what` names it in an error. */
  unsignedInteger(what: () => string): number {
    const first = this.#peek();
    const start = this.position;
    let value = 0;
    let byte = first;
    for (; isDigit(byte); byte = this.#bytes[++this.position] ?? -1) {
      value = 10 * value + (byte - 0x30);
    }
    const digits = this.position - start;
    const zeros = digits > 1 && first === 0x30;
    const fraction = byte === 0x2e || byte === 0x65 || byte === 0x45;
    if (digits > 0 && !zeros && !fraction && Number.isSafeInteger(value)) return value;
    this.position = start;
    if (first !== MINUS && digits === 0) {
      throw this.unexpected(`${what()} (an integer from 0 to 2^53 - 1)`);
    }
    const found = this.#numberText();
    throw this.#refuse(`${what()} is ${found}, wanted an integer from 0 to 2^53 - 1`, start);
  }

  #ascii(start: number): string {
    return String.fromCharCode(
      ...this.#bytes.subarray(start, Math.min(this.position, start + 400)),
    );
  }

  /** The characters of a number at the position, shortened for a message. */
  #numberText(): string {
    const start = this.position;
    while (/[-+.0-9eE]/.test(String.fromCharCode(this.#bytes[this.position] ?? 0))) this.position++;
    const text = this.#ascii(start);
    return text.length > 40 ? `${text.slice(0, 40)}…` : text;
  }

  /** Reads any value. */
  value(): JsonValue {
    const byte = this.#peek();
    if (byte === QUOTE) return this.string();
    if (byte === OPEN_BRACE) {
      const map = new Map<string, JsonValue>();
      this.object((key) => map.set(key, this.value()));
      return map;
    }
    if (byte === OPEN_BRACKET) {
      const list: JsonValue[] = [];
      this.array(() => list.push(this.value()));
      return list;
    }
    if (byte === MINUS || isDigit(byte)) return this.#number();
    for (const [word, value] of [["true", true], ["false", false], ["null", null]] as const) {
      if (this.#startsWith(word)) {
        this.position += word.length;
        return value;
      }
    }
    throw this.unexpected("a value");
  }

  /** Passes over any value, checking it as it goes. */
  skip(): void {
    const byte = this.#peek();
    if (byte === OPEN_BRACE) this.object(() => this.skip());
    else if (byte === OPEN_BRACKET) this.array(() => this.skip());
    else this.value();
  }

  #startsWith(word: string): boolean {
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.position + i] !== word.charCodeAt(i)) return false;
    }
    return true;
  }

  #number(): number {
    const start = this.position;
    const text = this.#numberText();
    if (!/^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/.test(text)) {
      throw this.#refuse(`the JSON has the number ${text}, which is malformed or too long`, start);
    }
    return Number(text);
  }

  /** Refuses anything but white space up to the end. */
  end(): void {
    if (this.#peek() >= 0) throw this.unexpected("the end");
  }
}

/** The keys of one object. */
class KeySet {
  readonly #few: string[] = [];
  #many: Set<string> | undefined;

  /** Adds a key; false where it was there. */
  add(key: string): boolean {
    if (this.#many === undefined) {
      if (this.#few.includes(key)) return false;
      this.#few.push(key);
      if (this.#few.length > FEW_KEYS) this.#many = new Set(this.#few);
      return true;
    }
    const before = this.#many.size;
    return this.#many.add(key).size > before;
  }
}

/** Parses a whole document strictly; see the module's comment for what is refused. */
export function parseStrictJson(bytes: Uint8Array, refuse: RefuseJson): JsonValue {
  const scanner = new JsonScanner(bytes, refuse);
  const value = scanner.value();
  scanner.end();
  return value;
}
