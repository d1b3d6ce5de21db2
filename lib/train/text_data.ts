/**
 * Texts tokenized on the way to training: documents with their begin and end tokens, as an indexed
 * dataset in the run's folder.
 *
 * @module
 */

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { AtomicFile } from "../base/atomic_file.ts";
import { ConfigError } from "../base/errors.ts";
import { EventLoop } from "../base/event_loop.ts";
import { datasetPaths, INDEX_HEADER_BYTES, INDEX_MAGIC } from "../formats/indexed_dataset.ts";
import { tokenTypeFor } from "../formats/indexed_dataset.ts";
import { textBlocks } from "../formats/text_blocks.ts";
import type { CompiledTokenizer } from "../tokenizer/compiled.ts";

/** How texts are packed. */
export interface PackTextOptions {
  /** The tokenizer. */
  readonly tokenizer: CompiledTokenizer;
  /** Where to: `PREFIX.bin` and `PREFIX.idx`. */
  readonly prefix: string;
  /** Stops between blocks, with nothing left behind. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the tokens so far. */
  readonly progress?: ((tokens: number) => void) | undefined;
}

/**
 * Packs files, each a document: the begin token where the tokenizer's models have one, the text, the
 * end token where there is one.
 *
 * @returns How many tokens there are.
 * @throws {FormatError} Where a text is not UTF-8.
 */
export async function packTexts(
  files: readonly string[],
  { tokenizer, prefix, signal, progress }: PackTextOptions,
): Promise<number> {
  const paths = datasetPaths(prefix);
  mkdirSync(dirname(prefix), { recursive: true });
  const loop = new EventLoop(signal);
  const code = tokenTypeFor(tokenizer.vocabSize);
  const words = code === 8 ? Uint16Array : Int32Array;
  using bin = AtomicFile.create(paths.bin, { force: true });
  const lengths: number[] = [];
  let tokens = 0;
  for (const name of files) {
    const before = tokens;
    const encoder = tokenizer.encoder({
      bos: tokenizer.addBos,
      eos: tokenizer.eosId !== undefined,
    });
    const put = (ids: Uint32Array) => {
      bin.write(new Uint8Array(words.from(ids).buffer));
      tokens += ids.length;
    };
    for await (const { bytes } of textBlocks({ name })) {
      put(encoder.push(bytes));
      progress?.(tokens);
      await loop.turn();
    }
    put(encoder.end());
    lengths.push(tokens - before);
  }
  if (tokens === 0) throw new ConfigError("Cannot train on the texts: they are empty");
  bin.finish();
  using idx = AtomicFile.create(paths.idx, { force: true });
  idx.write(formatIndex(lengths, { code, bytes: words.BYTES_PER_ELEMENT }));
  bin.commit();
  idx.commit();
  return tokens;
}

/** The index of sequences that are a document each, one after the other. */
function formatIndex(
  lengths: readonly number[],
  { code, bytes }: { readonly code: number; readonly bytes: number },
): Uint8Array {
  const count = lengths.length;
  const view = new DataView(new ArrayBuffer(INDEX_HEADER_BYTES + 12 * count + 8 * (count + 1)));
  new Uint8Array(view.buffer).set(INDEX_MAGIC);
  view.setBigUint64(9, 1n, true);
  view.setUint8(17, code);
  view.setBigUint64(18, BigInt(count), true);
  view.setBigUint64(26, BigInt(count + 1), true);
  let begin = 0;
  lengths.forEach((length, i) => {
    view.setInt32(INDEX_HEADER_BYTES + 4 * i, length, true);
    view.setBigInt64(INDEX_HEADER_BYTES + 4 * count + 8 * i, BigInt(begin * bytes), true);
    const border = INDEX_HEADER_BYTES + 12 * count + 8 * (i + 1);
    view.setBigInt64(border, BigInt(i + 1), true);
    begin += length;
  });
  return new Uint8Array(view.buffer);
}
