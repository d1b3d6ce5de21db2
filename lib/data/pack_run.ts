/**
 * One packing, from where it begins or goes on to the files that only lack their names.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../base/atomic_file.ts";
import { EventLoop } from "../base/event_loop.ts";
import { datasetPaths, tokenTypeFor } from "../formats/indexed_dataset.ts";
import { IndexedDatasetWriter } from "../formats/indexed_dataset_write.ts";
import { BEGINNING, textBlocks } from "../formats/text_blocks.ts";
import type { TextInput } from "../formats/text_chunks.ts";
import { DocumentEncoder } from "./document_encoder.ts";
import type { PackFolder, PackPlace } from "./pack_journal.ts";
import { fileHash, formatManifest, packManifest } from "./pack_manifest.ts";
import { endTokens, type PackOptions } from "./pack_options.ts";

const KEEP_EVERY = 256e6;

/** A packing on its way, in a folder of its own from which it can go on after being stopped or killed. */
export class PackRun {
  readonly #inputs: readonly TextInput[];
  readonly #options: PackOptions;
  readonly #folder: PackFolder;
  readonly #writer: IndexedDatasetWriter;
  readonly #encoder: DocumentEncoder;
  readonly #meter = { stored: 0 };
  #place: Pick<PackPlace, "input" | "at">;
  /** Bytes of text since a place was kept. */
  #unkept = 0;

  /** Goes on from the place that the folder has, or begins. */
  constructor(inputs: readonly TextInput[], options: PackOptions, folder: PackFolder) {
    this.#inputs = inputs;
    this.#options = options;
    this.#folder = folder;
    const { tokenizer, prefix, longest, special, invalid, batch } = options;
    const { found } = folder;
    this.#place = { input: found?.input ?? 0, at: found?.at ?? BEGINNING };
    const ends = endTokens(options);
    this.#writer = new IndexedDatasetWriter(folder.path, {
      type: tokenTypeFor(tokenizer.vocabSize),
      from: found?.dataset,
      name: datasetPaths(prefix).bin,
      longest,
    });
    const from = found === undefined ? undefined : { stream: found.stream, text: found.text };
    const document = { ...ends, special, invalid, batch, from };
    this.#encoder = new DocumentEncoder(tokenizer, this.#writer, document);
  }

  /** Packs what is left, up to the files that only lack their names. */
  async pack(tokenizerHash: string): Promise<void> {
    for (const { name } of this.#inputs.slice(0, this.#place.input)) {
      this.#meter.stored += fs.statSync(name).size;
    }
    while (this.#place.input < this.#inputs.length) await this.#packInput();
    this.#encoder.flush();
    const dataset = this.#writer.place;
    const { tokens, index } = this.#writer.finish();
    const manifest = packManifest(this.#options, {
      inputs: this.#inputs,
      dataset,
      text: this.#encoder.text,
      tokenizerHash,
      hashes: { bin: await fileHash(tokens), idx: await fileHash(index) },
    });
    const path = join(this.#folder.path, "manifest");
    writeFileAtomically(path, formatManifest(manifest), { force: true });
    const place = { ...this.#place, stream: null, text: this.#encoder.text, dataset };
    this.#folder.keep({ ...place, finished: true });
  }

  async #packInput(): Promise<void> {
    const { documents, field, invalid, signal, progress, keepEvery = KEEP_EVERY } = this.#options;
    const { input, at } = this.#place;
    const { stream } = this.#encoder;
    const loop = new EventLoop();
    const blocks = textBlocks(this.#inputs[input]!, {
      documents,
      field,
      start: stream === undefined || stream === null ? at : { byte: stream.byte, line: 0 },
      checked: invalid !== "replace",
      meter: this.#meter,
    });
    for await (const block of blocks) {
      this.#encoder.push(block);
      this.#unkept += block.bytes.length;
      this.#place = block.last === true
        ? { input: input + 1, at: BEGINNING }
        : { input, at: block.resume };
      progress?.(this.#meter.stored);
      if (signal?.aborted === true) {
        this.#keep();
        signal.throwIfAborted();
      }
      if (this.#unkept >= keepEvery) this.#keep();
      await loop.turn();
    }
  }

  /** Keeps the place; within a long document only that of a file says where its text goes on. */
  #keep(): void {
    const { stream } = this.#encoder;
    if (stream === null || (stream !== undefined && this.#options.documents !== "file")) return;
    this.#encoder.flush();
    const dataset = this.#writer.sync();
    const place = { ...this.#place, stream: stream ?? null, text: this.#encoder.text, dataset };
    this.#folder.keep({ ...place, finished: false });
    this.#unkept = 0;
  }

  /** Closes the files. */
  close(): void {
    this.#writer.close();
  }
}
