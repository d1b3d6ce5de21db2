/**
 * What ids write, laid out so that most are written with two stores and no loop over bytes.
 *
 * @module
 */

import type { DecodeTable } from "./detokenizer.ts";

/** Bytes that are always written, whatever the length is. */
export const STORED = 8;

/** Lengths that stand for other things, all of them larger than any length. */
export const UNUSUAL = {
  /** More bytes than {@linkcode STORED}. */
  long: 253,
  /** One byte of a run. */
  byte: 254,
  /** Not known without the table. */
  other: 255,
} as const;

/** Words of each id in {@linkcode Surfaces}. */
export const SURFACE_WORDS = 4;

/** What the ids of a table write wherever they stand within a text. */
export interface Surfaces {
  /**
   * For each id {@linkcode SURFACE_WORDS} words, so that one id lies in one line of the processor's
   * cache: the first four bytes, the next four, and the length or a code of {@linkcode UNUSUAL}. Of a
   * long one the first two are where its bytes begin in `long` and how many there are.
   */
  readonly words: Int32Array;
  /** The bytes of long ones, each with room behind it for whole words of {@linkcode STORED}. */
  readonly long: DataView;
}

const made = new WeakMap<DecodeTable, Surfaces>();

/** The surfaces of a table, made when they are first asked for. */
export function surfacesOf(table: DecodeTable): Surfaces {
  let found = made.get(table);
  if (found === undefined) made.set(table, found = make(table));
  return found;
}

function make(table: DecodeTable): Surfaces {
  const { kinds, offsets, bytes, special, malformed } = table;
  const words = new Int32Array(SURFACE_WORDS * kinds.length);
  const long = new LongSurfaces(bytes);
  for (let id = 0; id < kinds.length; id++) {
    const start = offsets[id]!;
    const length = offsets[id + 1]! - start;
    const at = SURFACE_WORDS * id;
    const kind = kinds[id]!;
    // Where malformed bytes stand each for itself, one of ASCII ends no run that matters.
    const alone = kind === 1 && malformed === "each" && bytes[start]! < 0x80;
    // Text, and text that begins with a space: SURFACE.text and SURFACE.spaced.
    const usual = kind === 0 || kind === 3 || alone;
    if (usual && length > STORED) {
      words[at] = long.add(start, length);
      words[at + 1] = length;
      words[at + 2] = UNUSUAL.long;
      continue;
    }
    words[at + 2] = usual ? length : kind === 1 ? UNUSUAL.byte : UNUSUAL.other;
    for (let i = 0; i < length && i < STORED; i++) {
      words[at + (i >> 2)]! |= bytes[start + i]! << (8 * (i & 3));
    }
  }
  for (const id of special) words[SURFACE_WORDS * id + 2] = UNUSUAL.other;
  return { words, long: long.finish() };
}

/** Puts texts one behind another, each where a word of {@linkcode STORED} bytes begins. */
class LongSurfaces {
  readonly #source: Uint8Array;
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
  }

  /** Takes a text of the source; gives where it is now. */
  add(start: number, length: number): number {
    const at = this.#length;
    this.#length += Math.ceil(length / STORED) * STORED;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    for (let i = 0; i < length; i++) this.#bytes[at + i] = this.#source[start + i]!;
    return at;
  }

  finish(): DataView {
    return new DataView(this.#bytes.slice(0, this.#length).buffer);
  }
}
