/**
 * Keys and values of a prompt in a file, so that the next run with the same beginning need not compute
 * them: what is read back has the bits that were computed.
 *
 * The file is in the safetensors format: `tokens` [n] i32; `keys.L` and `values.L` [pages, bytes] u8
 * for every layer L, pages as the cache has them; and `checksums` [1 + 2 layers pages] u32, the CRC-32
 * of the tokens and of each page, in the order keys.0, values.0, keys.1, … Its metadata say which
 * version of this format, model, backend and types made it; with any other it is made anew. What does
 * not have its checksum is refused: damaged keys would give another text, and nothing would tell.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { crc32 } from "node:zlib";
import { FormatError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { checkpointFingerprint } from "../checkpoint/fingerprint.ts";
import { readTensor, tensorChunks } from "../formats/read_tensor.ts";
import { readSafetensors, type SafetensorsFile } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors_write.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { DecoderSession } from "../model/decoder.ts";
import type { KvSequence } from "../model/kv_pages.ts";
import type { LanguageModel } from "./language_model.ts";

/** Says in the metadata what the file is, before the number of its version. */
const KIND = "llamero-prompt-cache-";

/** What this version writes and reads. The first one had no checksums. */
const FORMAT = `${KIND}2`;

/** Why a file was not used, where it could have been. */
export type PromptCacheNote = (reason: string) => void;

/** The prompt cache of one model in one file, which need not exist yet. */
export class PromptCache {
  /** Path of the file. */
  readonly path: string;
  readonly #model: LanguageModel;
  readonly #file: SafetensorsFile | undefined;
  #note: PromptCacheNote | undefined;

  private constructor(
    model: LanguageModel,
    path: string,
    parts: { file: SafetensorsFile | undefined; note: PromptCacheNote | undefined },
  ) {
    this.path = path;
    this.#model = model;
    this.#file = parts.file;
    this.#note = parts.note;
  }

  /**
   * Looks at the file. `note` hears why a cache of another model, backend or type is made anew.
   *
   * @throws {FormatError} When it exists and is no prompt cache: it would be replaced.
   */
  static async open(
    model: LanguageModel,
    path: string,
    note?: PromptCacheNote,
  ): Promise<PromptCache> {
    if (!existsSync(path)) return new PromptCache(model, path, { file: undefined, note });
    const file = await readSafetensors(path);
    if (!file.metadata.get("format")?.startsWith(KIND)) {
      throw new FormatError(
        `Cannot use ${quotedPath(path)} as a prompt cache: it holds something else`,
        { file: path, hint: "name a file that does not exist yet" },
      );
    }
    return new PromptCache(model, path, { file, note });
  }

  /**
   * Opens a sequence with the longest beginning of `prompt` that the file holds, never all of it;
   * `undefined` where it holds none.
   *
   * @throws {FormatError} When a part of the file that is needed is damaged.
   */
  async load(session: DecoderSession, prompt: ArrayLike<number>): Promise<KvSequence | undefined> {
    if (this.#file === undefined || !this.#fits(session, this.#file)) return undefined;
    const tokens = await this.#tokens(this.#file);
    const most = Math.min(tokens.length, prompt.length - 1);
    let length = 0;
    while (length < most && tokens[length] === prompt[length]) length++;
    if (length === 0) return undefined;
    const sequence = session.cache.pages.open();
    session.cache.append(sequence, length);
    const pages = Math.ceil(tokens.length / session.cache.pages.pageSize);
    const halves = halvesOf(session);
    const checksums = await this.#checksums(this.#file, 1 + halves * pages);
    if (crc32(new Uint8Array(tokens.buffer)) !== checksums[0]) throw this.#changed("tokens");
    for (let half = 0; half < halves; half++) {
      const record = this.#record(this.#file, nameOf(half), {
        dtype: "u8",
        shape: [pages, session.cache.bytesPerPage],
      });
      let index = 0;
      for (const page of tensorChunks(record, { chunkBytes: session.cache.bytesPerPage })) {
        if (index === sequence.pages.length) break;
        if (crc32(page) !== checksums[1 + half * pages + index]) throw this.#changed(record.name);
        session.cache.writePage(sequence, { half, index: index++ }, page);
      }
    }
    return sequence;
  }

  /**
   * Writes the keys and values of a prompt, all of whose tokens have been computed; does nothing where
   * the file already holds them.
   *
   * @throws {LlameroError} When the file cannot be written.
   */
  async save(
    session: DecoderSession,
    sequence: KvSequence,
    prompt: ArrayLike<number>,
  ): Promise<void> {
    if (await this.#holds(session, prompt)) return;
    const { pages, cache } = { pages: sequence.pages.length, cache: session.cache };
    const halves = Array.from({ length: halvesOf(session) }, (_, half) => ({
      name: nameOf(half),
      dtype: "u8",
      shape: [pages, cache.bytesPerPage],
      data: () => cache.readPages(sequence, half),
    }));
    const tokens = new Uint8Array(Int32Array.from(prompt).buffer);
    const checksums = Uint32Array.from([
      crc32(tokens),
      ...halves.flatMap(({ data }) => Array.from(data(), (page) => crc32(page))),
    ]);
    await writeSafetensors(this.path, [
      { name: "tokens", dtype: "i32", shape: [prompt.length], data: tokens },
      {
        name: "checksums",
        dtype: "u32",
        shape: [checksums.length],
        data: new Uint8Array(checksums.buffer),
      },
      ...halves,
    ], { force: true, metadata: this.#identity(session) });
  }

  async #holds(session: DecoderSession, prompt: ArrayLike<number>): Promise<boolean> {
    if (this.#file === undefined || !this.#fits(session, this.#file)) return false;
    const tokens = await this.#tokens(this.#file);
    return tokens.length >= prompt.length && tokens.subarray(0, prompt.length)
      .every((id, i) => id === prompt[i]);
  }

  /** What must be the same for the bits to be the same. */
  #identity({ decoder, cache, textPositions }: DecoderSession): Record<string, string> {
    const { name, info } = decoder.backend;
    const isDynamic = decoder.config.ropeScaling?.type === "dynamic";
    return {
      format: FORMAT,
      model: checkpointFingerprint(this.#model.checkpoint),
      backend: `${name} ${info.isa}`,
      activations: decoder.activations,
      kv_type: cache.type,
      page_size: String(cache.pages.pageSize),
      // Keys are turned by angles that depend on it.
      ...(isDynamic ? { context: String(textPositions) } : {}),
    };
  }

  #fits(session: DecoderSession, file: SafetensorsFile): boolean {
    const wanted = Object.entries(this.#identity(session));
    const other = wanted.find(([key, value]) => file.metadata.get(key) !== value);
    if (other === undefined) return true;
    this.#note?.(`${quotedPath(this.path)} is made anew: it is of another ${other[0]}`);
    // Loading asks, and saving asks again: once is enough to be told.
    this.#note = undefined;
    return false;
  }

  async #tokens(file: SafetensorsFile): Promise<Int32Array<ArrayBuffer>> {
    const record = file.records.get("tokens");
    if (record?.dtype !== "i32" || record.shape.length !== 1) {
      throw this.#damaged('it has no row "tokens" of i32');
    }
    return new Int32Array((await readTensor(record)).slice().buffer);
  }

  async #checksums(file: SafetensorsFile, count: number): Promise<Uint32Array> {
    const record = this.#record(file, "checksums", { dtype: "u32", shape: [count] });
    return new Uint32Array((await readTensor(record)).slice().buffer);
  }

  #record(
    file: SafetensorsFile,
    name: string,
    { dtype, shape }: Pick<TensorRecord, "dtype" | "shape">,
  ): TensorRecord {
    const record = file.records.get(name);
    if (record?.dtype === dtype && String(record.shape) === String(shape)) return record;
    const found = record === undefined ? "absent" : `${record.dtype} [${record.shape}]`;
    throw this.#damaged(`"${name}" is ${found}, wanted ${dtype} [${shape}]`);
  }

  #changed(name: string): FormatError {
    return this.#damaged(`the bytes of "${name}" do not have their checksum`);
  }

  #damaged(what: string): FormatError {
    return new FormatError(`Cannot use the prompt cache ${quotedPath(this.path)}: ${what}`, {
      file: this.path,
      hint: "remove it; it is made again",
    });
  }
}

/** Keys and values of every layer. */
function halvesOf({ decoder }: DecoderSession): number {
  return 2 * decoder.config.numHiddenLayers;
}

function nameOf(half: number): string {
  return `${half % 2 === 0 ? "keys" : "values"}.${half >> 1}`;
}
