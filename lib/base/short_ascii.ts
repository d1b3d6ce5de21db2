/**
 * Text of the short ASCII strings that headers consist of, made without the cost of a decoder's call.
 *
 * @module
 */

/** Beyond this length the decoder is as quick. */
const LONGEST = 128;

/** The text of the bytes, or `undefined` where they are longer than 128 or not all ASCII. */
export function shortAscii(bytes: Uint8Array): string | undefined {
  if (bytes.length > LONGEST) return undefined;
  let all = 0;
  for (let i = 0; i < bytes.length; i++) all |= bytes[i]!;
  // `apply` takes any array-like; spreading would iterate three times as long.
  return all < 0x80 ? String.fromCharCode.apply(null, bytes as unknown as number[]) : undefined;
}
