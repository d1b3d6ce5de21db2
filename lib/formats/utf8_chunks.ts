/**
 * Chunks of text that are UTF-8, wherever they are cut.
 *
 * @module
 */

import { isUtf8 } from "node:buffer";
import { FormatError } from "../base/errors.ts";
import { joined } from "../base/joined.ts";
import { quotedPath } from "../base/quoted.ts";
import { malformedAt, wholeCharacters } from "../base/utf8.ts";

/** Length of the character that a lead byte promises. */
function promised(lead: number): number {
  return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function notUtf8(file: string, bytes: Uint8Array, start: number): FormatError {
  const at = malformedAt(bytes);
  const byte = bytes[at]!.toString(16).padStart(2, "0");
  const offset = start + at;
  return new FormatError(
    `Cannot read ${quotedPath(file)}: byte ${offset} (0x${byte}) is not UTF-8`,
    {
      file,
      offset,
      hint: "convert it first: iconv -f LATIN1 -t UTF-8",
    },
  );
}

/**
 * Gives chunks as they come; `start` is the offset of the first in the file.
 *
 * @throws {FormatError} With the offset of the first byte that is not UTF-8.
 */
export async function* utf8Chunks(
  chunks: AsyncIterable<Uint8Array>,
  { file, start }: { readonly file: string; readonly start: number },
): AsyncGenerator<Uint8Array> {
  let held: Uint8Array = new Uint8Array();
  let offset = start;
  const check = (bytes: Uint8Array): void => {
    if (!isUtf8(bytes)) throw notUtf8(file, bytes, offset);
    offset += bytes.length;
  };
  for await (const chunk of chunks) {
    // The cut character alone is joined, not the chunk.
    const more = held.length === 0 ? 0 : Math.min(promised(held[0]!) - held.length, chunk.length);
    held = joined(Uint8Array, [held, chunk.subarray(0, more)]);
    if (held.length > 0 && held.length === promised(held[0]!)) {
      check(held);
      held = new Uint8Array();
    }
    if (held.length === 0) {
      const rest = chunk.subarray(more);
      const whole = wholeCharacters(rest);
      check(rest.subarray(0, whole));
      held = rest.slice(whole);
    }
    yield chunk;
  }
  check(held);
}
