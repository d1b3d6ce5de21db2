/**
 * What single ids write.
 *
 * @module
 */

import { type DecodeTable, SURFACE } from "./detokenizer.ts";

const NOTHING = new Uint8Array();

/** The bytes that an id writes in the middle of a text; none for special ones and unknown ids. */
export function surfaceOf(table: DecodeTable, id: number): Uint8Array {
  const kind = table.kinds[id];
  if (kind === undefined || kind === SURFACE.silent || kind === SURFACE.begin) return NOTHING;
  if (table.special.has(id)) return NOTHING;
  return table.bytes.subarray(table.offsets[id]!, table.offsets[id + 1]!);
}
