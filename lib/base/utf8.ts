/**
 * Well-formed UTF-8 (Unicode 15, table 3-7), where a decoder that only says yes or no is not enough.
 *
 * @module
 */

/** Smallest and largest second byte after a lead byte, where they are not 0x80 and 0xbf. */
const SECOND: ReadonlyMap<number, readonly [low: number, high: number]> = new Map([
  [0xe0, [0xa0, 0xbf]],
  [0xed, [0x80, 0x9f]],
  [0xf0, [0x90, 0xbf]],
  [0xf4, [0x80, 0x8f]],
]);

/** Length of the character that a byte begins, 0 if it begins none. */
function lengthOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Offset of the first byte that is not part of a well-formed character, or -1. */
export function malformedAt(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!;
    const length = lengthOf(lead);
    if (length === 0 || at + length > bytes.length) return at;
    const [low, high] = SECOND.get(lead) ?? [0x80, 0xbf];
    if (length > 1 && (bytes[at + 1]! < low || bytes[at + 1]! > high)) return at;
    for (let i = 2; i < length; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return at;
    at += length;
  }
  return -1;
}
