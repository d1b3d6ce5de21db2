/**
 * What ids write, laid out so that most are written with two stores and no loop over bytes.
 *
 * @module
 */

import type { DecodeTable } from "./detokenizer.ts";

/** Bytes that are always written, whatever the length is. */
export const STORED = 8;

/** A length that stands for "look at the table". */
export const UNUSUAL = 255;

/** The surfaces of a vocabulary's ids. */
export interface ShortSurfaces {
  /** The first four bytes of each id, little-endian. */
  readonly low: Uint32Array;
  /** The four bytes behind them. */
  readonly high: Uint32Array;
  /** How many bytes each id writes wherever it stands within a text, or {@linkcode UNUSUAL}. */
  readonly lengths: Uint8Array;
}

const made = new WeakMap<DecodeTable, ShortSurfaces>();

/** The surfaces of a table, made when they are first asked for. */
export function shortSurfaces(table: DecodeTable): ShortSurfaces {
  let found = made.get(table);
  if (found === undefined) made.set(table, found = make(table));
  return found;
}

function make({ kinds, offsets, bytes, special }: DecodeTable): ShortSurfaces {
  const low = new Uint32Array(kinds.length);
  const high = new Uint32Array(kinds.length);
  const lengths = new Uint8Array(kinds.length).fill(UNUSUAL);
  for (let id = 0; id < kinds.length; id++) {
    const start = offsets[id]!;
    const length = offsets[id + 1]! - start;
    // Text, and text that begins with a space: SURFACE.text and SURFACE.spaced.
    const usual = kinds[id] === 0 || kinds[id] === 3;
    if (!usual || length > STORED) continue;
    lengths[id] = length;
    for (let i = 0; i < length; i++) {
      if (i < 4) low[id]! |= bytes[start + i]! << (8 * i);
      else high[id]! |= bytes[start + i]! << (8 * (i - 4));
    }
  }
  for (const id of special) lengths[id] = UNUSUAL;
  return { low, high, lengths };
}
