/**
 * What tokenizers share that encode JavaScript strings, a text at a time: bytes checked and decoded
 * first, batches put together of single texts.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { joined } from "../base/joined.ts";
import { characterLength } from "../base/utf8.ts";
import type { CompiledTokenizer, TextBatch } from "./compiled_tokenizer.ts";
import type { EncodedBatch } from "./text_engine.ts";
import type { EncodeOptions } from "./tokenizer.ts";

/** A text from its bytes, `offset` into the input. @throws {FormatError} If they are not UTF-8 and not to be replaced. */
export function textOf(
  bytes: Uint8Array,
  { invalid, offset = 0 }: Pick<EncodeOptions, "invalid"> & { readonly offset?: number },
): string {
  if (invalid !== "replace") checkWellFormed(bytes, { ends: [bytes.length], offset });
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** Encodes texts one by one, without begin and end tokens. @throws {FormatError} As {@linkcode textOf}. */
export function encodeEach(
  tokenizer: Pick<CompiledTokenizer, "encode">,
  { bytes, ends, ...options }: TextBatch & EncodeOptions,
): EncodedBatch {
  if (options.invalid !== "replace") checkWellFormed(bytes, { ends, offset: 0 });
  const plain = { ...options, bos: false, eos: false };
  const texts = Array.from(
    ends,
    (end, i) => tokenizer.encode(bytes.subarray(ends[i - 1] ?? 0, end), plain),
  );
  return { ids: joined(Uint32Array, texts), counts: Uint32Array.from(texts, (ids) => ids.length) };
}

/** Refuses the first byte that belongs to no character, or to one that the end of its text cuts. */
function checkWellFormed(
  bytes: Uint8Array,
  { ends, offset }: { readonly ends: ArrayLike<number>; readonly offset: number },
): void {
  let at = 0;
  for (let text = 0; text < ends.length; text++) {
    while (at < ends[text]!) {
      const length = characterLength(bytes, at);
      if (length <= 0 || at + length > ends[text]!) {
        throw new FormatError(`Cannot encode the text: byte ${offset + at} is not UTF-8`, {
          offset: offset + at,
          hint: "replace what is malformed with --invalid replace",
        });
      }
      at += length;
    }
  }
}
