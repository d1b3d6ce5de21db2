/**
 * Very many strings as one array of UTF-8 bytes.
 *
 * @module
 */

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** The place of what follows the comma at `at`, or -1 if there is none. */
function behindComma(source: Uint8Array, at: number): number {
  if (source[at] !== COMMA) return -1;
  let next = at + 1;
  while (source[next]! <= SPACE) next++;
  return next;
}

/** A growing list of strings without an object for each. */
export class FlatStrings {
  #bytes = new Uint8Array(1 << 16);
  #ends = new Uint32Array(1 << 12);
  /** How many strings there are. */
  count = 0;
  /** Number of bytes of all of them. */
  length = 0;

  /** All bytes, one string after another. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** End of each string in `bytes`. */
  get ends(): Uint32Array {
    return this.#ends.subarray(0, this.count);
  }

  /** Start of a string in `bytes`. */
  start(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!;
  }

  /** The bytes of a string, as a view. */
  get(index: number): Uint8Array {
    return this.#bytes.subarray(this.start(index), this.#ends[index]);
  }

  /** Makes room for so many bytes more, so that the next appends cannot fail. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + bytes));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }

  /**
   * Appends the plain characters of a JSON string from `at`, up to its closing quote; gives the place
   * behind the quote, or -1 with nothing appended where the string has an escape or does not end.
   */
  addJson(source: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    const end = Math.min(source.length, at + bytes.length - this.length);
    let to = this.length;
    let from = at;
    while (from < end) {
      const byte = source[from++]!;
      if (byte === QUOTE) {
        this.length = to;
        this.#end(to);
        return from;
      }
      if (byte === BACKSLASH || byte < SPACE) return -1;
      bytes[to++] = byte;
    }
    return -1;
  }

  /**
   * Appends the halves of JSON strings with one space each, from `at` on, as long as they are plain
   * and a comma follows; gives the place of the first other one. There must be room for all.
   */
  addJsonPairs(source: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    let entry = at;
    while (source[entry] === QUOTE) {
      let to = this.length;
      let middle = -1;
      let from = entry + 1;
      let byte = source[from]!;
      while (byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH) {
        if (byte !== SPACE) bytes[to++] = byte;
        else if (middle < 0) middle = to;
        else return entry;
        byte = source[++from]!;
      }
      const next = byte === QUOTE ? behindComma(source, from + 1) : -1;
      if (next < 0 || middle <= this.length || middle === to) return entry;
      this.#end(middle);
      this.#end(to);
      this.length = to;
      entry = next;
    }
    return entry;
  }

  /**
   * Appends the keys of JSON members from `at` on whose values are numbers of up to nine digits, which
   * are added to `numbers`, as long as they are plain and a comma follows; gives the place of the
   * first other one. There must be room for all.
   */
  addJsonNumbered(source: Uint8Array, at: number, numbers: number[]): number {
    const bytes = this.#bytes;
    let entry = at;
    while (source[entry] === QUOTE) {
      let to = this.length;
      let from = entry + 1;
      let byte = source[from]!;
      while (byte >= SPACE && byte !== QUOTE && byte !== BACKSLASH) {
        bytes[to++] = byte;
        byte = source[++from]!;
      }
      if (byte !== QUOTE || source[from + 1] !== COLON) return entry;
      from += source[from + 2] === SPACE ? 3 : 2;
      const digits = from;
      let value = 0;
      for (byte = source[from]!; byte >= 0x30 && byte <= 0x39; byte = source[++from]!) {
        value = value * 10 + byte - 0x30;
      }
      const next = behindComma(source, from);
      if (next < 0 || from === digits || from - digits > 9) return entry;
      numbers.push(value);
      this.#end(to);
      this.length = to;
      entry = next;
    }
    return entry;
  }

  /** Appends bytes as a string. */
  add(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
    this.#end(this.length);
  }

  /** Makes two strings of the last one, without the one space in it; false if it has not just one. */
  splitLastAtSpace(): boolean {
    const bytes = this.#bytes;
    const start = this.start(this.count - 1);
    let space = start;
    while (space < this.length && bytes[space] !== SPACE) space++;
    if (space === start || space >= this.length - 1) return false;
    for (let i = space; i + 1 < this.length; i++) {
      if (bytes[i + 1] === SPACE) return false;
      bytes[i] = bytes[i + 1]!;
    }
    this.length--;
    this.#ends[this.count - 1] = space;
    this.#end(this.length);
    return true;
  }

  #end(at: number): void {
    if (this.count === this.#ends.length) {
      const larger = new Uint32Array(this.#ends.length * 2);
      larger.set(this.#ends);
      this.#ends = larger;
    }
    this.#ends[this.count++] = at;
  }
}
