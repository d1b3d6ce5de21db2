/**
 * A strict reader of JSON bytes for headers and indexes from files nobody vouches for.
 *
 * `JSON.parse` lets the last of two equal keys win and rounds large integers; this scanner refuses both, keeps keys such
 * as `__proto__` harmless by giving them to a callback or a `Map`, bounds the depth, and knows the byte offset.
 *
 * @module
 */

/** A JSON value; objects are maps, so that no key is special. */
export type JsonValue = null | boolean | number | string | JsonValue[] | Map<string, JsonValue>;

/** Makes the error that is thrown: what is wrong, and at which byte of the scanned bytes. */
export type RefuseJson = (what: string, offset: number) => Error;

/** Nesting beyond this is refused; the formats read here need 4. */
const DEEPEST = 64;

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

  /** Reads an object; `member` gets each key and must read its value. A key that comes twice is refused. */
  object(member: (key: string) => void): void {
    this.#enter();
    this.#expect(OPEN_BRACE);
    const keys = new Set<string>();
    if (this.#peek() !== CLOSE_BRACE) {
      for (;;) {
        const start = this.position;
        const key = this.string();
        if (keys.has(key)) {
          throw this.#refuse(
            `the JSON has the key ${JSON.stringify(key.slice(0, 100))} twice`,
            start,
          );
        }
        keys.add(key);
        this.#expect(COLON);
        member(key);
        if (this.#peek() !== COMMA) break;
        this.position++;
        this.#peek();
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
    const start = this.position++;
    let escaped = false;
    for (;;) {
      const byte = this.#bytes[this.position] ?? -1;
      if (byte === QUOTE) break;
      if (byte < 0x20) {
        throw this.#refuse(
          byte < 0
            ? "the JSON ends inside a string"
            : "the JSON has a control character in a string",
          this.position,
        );
      }
      if (byte === BACKSLASH) {
        escaped = true;
        this.position++;
      }
      this.position++;
    }
    this.position++;
    const text = this.#decode(start, escaped);
    if (!text.isWellFormed()) {
      throw this.#refuse("the JSON has half of a surrogate pair in a string", start);
    }
    return text;
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

  /** Reads an integer from 0 to 2^53 - 1 that is written in digits alone. */
  unsignedInteger(what: string): number {
    const first = this.#peek();
    const start = this.position;
    while (isDigit(this.#bytes[this.position] ?? -1)) this.position++;
    const text = this.#ascii(start);
    const next = this.#bytes[this.position] ?? -1;
    const whole = isDigit(first) && next !== 0x2e && next !== 0x65 && next !== 0x45 &&
      !(text.length > 1 && first === 0x30);
    const value = Number(text);
    if (!whole || !Number.isSafeInteger(value)) {
      this.position = start;
      const found = first === MINUS || isDigit(first) ? this.#numberText() : undefined;
      if (found === undefined) throw this.unexpected(`${what} (an integer from 0 to 2^53 - 1)`);
      throw this.#refuse(`${what} is ${found}, wanted an integer from 0 to 2^53 - 1`, start);
    }
    return value;
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

/** Parses a whole document strictly; see the module's comment for what is refused. */
export function parseStrictJson(bytes: Uint8Array, refuse: RefuseJson): JsonValue {
  const scanner = new JsonScanner(bytes, refuse);
  const value = scanner.value();
  scanner.end();
  return value;
}
