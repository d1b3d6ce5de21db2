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

/** Words of each id in {@linkcode shortSurfaces}: eight bytes, and how many of them count. */
export const SURFACE_WORDS = 4;

const made = new WeakMap<DecodeTable, Int32Array>();

/**
 * What the ids of a table write wherever they stand within a text, made when it is first asked for:
 * for each {@linkcode SURFACE_WORDS} words, the first four bytes, the next four, and the length or a
 * code of {@linkcode UNUSUAL}; one id lies in one line of the processor's cache.
 */
export function shortSurfaces(table: DecodeTable): Int32Array {
  let found = made.get(table);
  if (found === undefined) made.set(table, found = make(table));
  return found;
}

function make({ kinds, offsets, bytes, special, malformed }: DecodeTable): Int32Array {
  const words = new Int32Array(SURFACE_WORDS * kinds.length);
  for (let id = 0; id < kinds.length; id++) {
    const start = offsets[id]!;
    const length = offsets[id + 1]! - start;
    const at = SURFACE_WORDS * id;
    const kind = kinds[id]!;
    // Where malformed bytes stand each for itself, one of ASCII ends no run that matters.
    const alone = kind === 1 && malformed === "each" && bytes[start]! < 0x80;
    // Text, and text that begins with a space: SURFACE.text and SURFACE.spaced.
    const usual = kind === 0 || kind === 3 || alone;
    words[at + 2] = usual && length <= STORED
      ? length
      : usual
      ? UNUSUAL.long
      : kind === 1
      ? UNUSUAL.byte
      : UNUSUAL.other;
    for (let i = 0; i < length && i < STORED; i++) {
      words[at + (i >> 2)]! |= bytes[start + i]! << (8 * (i & 3));
    }
  }
  for (const id of special) words[SURFACE_WORDS * id + 2] = UNUSUAL.other;
  return words;
}
