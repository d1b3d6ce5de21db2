/**
 * Well-formed UTF-8 (Unicode 15, table 3-7), where a decoder that only says yes or no is not enough.
 *
 * @module
 */

/** Bytes of the longest character. */
const LONGEST = 4;

/**
 * Length of the well-formed character at `at`; 0 if it is malformed, -1 if it is cut off by the end but
 * could still become well-formed.
 */
export function characterLength(bytes: Uint8Array, at: number): number {
  return lengthWithin(bytes, at, bytes.length);
}

function lengthWithin(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : LONGEST;
  // The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    if (at + i >= end) return -1;
    const byte = bytes[at + i]!;
    if (byte < (i === 1 ? low : 0x80) || byte > (i === 1 ? high : 0xbf)) return 0;
  }
  return length;
}

/** Whether the bytes from `from` to before `end` are characters, all of them whole. */
export function isWellFormed(
  bytes: Uint8Array,
  { from, end }: { readonly from: number; readonly end: number },
): boolean {
  let at = from;
  while (at < end) {
    const length = lengthWithin(bytes, at, end);
    if (length <= 0) return false;
    at += length;
  }
  return true;
}

/** Offset of the first byte that is not part of a well-formed character, or -1. */
export function malformedAt(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at);
    if (length <= 0) return at;
    at += length;
  }
  return -1;
}

/** Length without the character that the end cuts off. */
export function wholeCharacters(bytes: Uint8Array): number {
  for (let at = bytes.length - 1; at >= Math.max(0, bytes.length - LONGEST + 1); at--) {
    if ((bytes[at]! & 0xc0) === 0x80) continue;
    return characterLength(bytes, at) < 0 ? at : bytes.length;
  }
  return bytes.length;
}
