/**
 * A UTF-8 character of which only the first bytes have come.
 *
 * @module
 */

/** Code points that a beginning can still become; no bytes are missing where `missing` is 0. */
export interface PartialCharacter {
  /** Bytes that are still to come. */
  readonly missing: number;
  /** Smallest code point it can become. */
  readonly first: number;
  /** Largest one. */
  readonly last: number;
}

/** Between two characters: no byte of the next has come. */
export const NO_PARTIAL: PartialCharacter = { missing: 0, first: 0, last: 0 };

/** Smallest code point that is written with as many continuation bytes. */
const SMALLEST = [0, 0x80, 0x800, 0x10000] as const;
const LAST = 0x10ffff;

/** Adds a byte; `undefined` where no character has these bytes. */
export function addByte(partial: PartialCharacter, byte: number): PartialCharacter | undefined {
  if (partial.missing === 0) return begin(byte);
  if ((byte & 0xc0) !== 0x80) return undefined;
  const missing = partial.missing - 1;
  const unit = 2 ** (6 * missing);
  // The bounds were cut to what is well-formed; the bits so far are those of the uncut range.
  const base = Math.floor(partial.first / (unit * 64)) * unit * 64 + (byte & 0x3f) * unit;
  return cut({ missing, first: base, last: base + unit - 1 }, partial);
}

function begin(byte: number): PartialCharacter | undefined {
  if (byte < 0x80) return { missing: 0, first: byte, last: byte };
  const missing = byte >= 0xf0 && byte <= 0xf4 ? 3 : byte >= 0xe0 ? 2 : 1;
  if (byte < 0xc2 || byte > 0xf4) return undefined;
  const unit = 2 ** (6 * missing);
  const base = (byte & (0x3f >> missing)) * unit;
  const bounds = { missing, first: SMALLEST[missing]!, last: LAST };
  return cut({ missing, first: base, last: base + unit - 1 }, bounds);
}

/** The part of a range that lies within bounds and is not all surrogates. */
function cut(range: PartialCharacter, bounds: PartialCharacter): PartialCharacter | undefined {
  let first = Math.max(range.first, bounds.first);
  let last = Math.min(range.last, bounds.last);
  if (first >= 0xd800 && first <= 0xdfff) first = 0xe000;
  if (last >= 0xd800 && last <= 0xdfff) last = 0xd7ff;
  return first > last ? undefined : { missing: range.missing, first, last };
}
