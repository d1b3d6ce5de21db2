/**
 * Writing Megatron's indexed datasets of any size: tokens, lengths and document borders go to files as
 * they come, and the index is made of them at the end, so that nothing grows in memory.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { fileError } from "../base/file_error.ts";
import {
  INDEX_HEADER_BYTES,
  INDEX_MAGIC,
  TOKEN_TYPES,
  type TokenTypeCode,
} from "./indexed_dataset.ts";

/** How much of a dataset is written. */
export interface DatasetPlace {
  /** Tokens written, those of the open sequence too. */
  readonly tokens: number;
  /** Sequences that are over. */
  readonly sequences: number;
  /** Documents that are over. */
  readonly documents: number;
  /** Tokens of a sequence that is not over. */
  readonly open: number;
}

/** Where a dataset begins. */
const NO_DATASET: DatasetPlace = { tokens: 0, sequences: 0, documents: 0, open: 0 };

/** Names of the files in the folder. */
const FILES = { tokens: "tokens", lengths: "lengths", borders: "borders", index: "index" } as const;

/** An index holds the length of a sequence in 31 bits; this leaves room for a token at its end. */
const LONGEST_SEQUENCE = 2 ** 31 - 2;

/** Entries that are copied at a time. */
const COPIED = 1 << 16;

/** How a dataset is written. */
export interface DatasetWriterOptions {
  /** Element type of the tokens. */
  readonly type: TokenTypeCode;
  /** What is there already; the files are cut to it. Default nothing. */
  readonly from?: DatasetPlace | undefined;
  /** What failures call the output. */
  readonly name: string;
  /** Longest sequence in tokens; a longer document becomes several. Default what an index can hold. */
  readonly longest?: number | undefined;
}

/**
 * A dataset being written in a folder.
 *
 * @example
 * ```ts
 * const writer = new IndexedDatasetWriter("folder", { type: 8, name: "corpus" });
 * writer.append(Uint32Array.of(5, 6, 7));
 * writer.endDocument();
 * const { tokens, index } = writer.finish();
 * ```
 */
export class IndexedDatasetWriter {
  readonly #folder: string;
  readonly #options: DatasetWriterOptions;
  readonly #longest: number;
  readonly #tokens: AppendedFile;
  readonly #lengths: AppendedFile;
  readonly #borders: AppendedFile;
  #place: DatasetPlace;
  #newLengths: number[] = [];
  #newBorders: bigint[] = [];

  /** Opens the files of a folder, new or as far as `from` says. */
  constructor(folder: string, options: DatasetWriterOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#longest = options.longest ?? LONGEST_SEQUENCE;
    const from = this.#place = options.from ?? NO_DATASET;
    const open = (name: string, bytes: number): AppendedFile =>
      new AppendedFile(join(folder, name), { bytes, name: options.name });
    this.#tokens = open(FILES.tokens, from.tokens * TOKEN_TYPES[options.type].bytes);
    this.#lengths = open(FILES.lengths, from.sequences * 4);
    this.#borders = open(FILES.borders, from.documents * 8);
  }

  /** Appends tokens to the document that is not over. */
  append(ids: Uint32Array): void {
    let { tokens, open } = this.#place;
    for (let at = 0; at < ids.length;) {
      if (open === this.#longest) {
        this.#place = { ...this.#place, tokens, open };
        this.#endSequence();
        open = 0;
      }
      const count = Math.min(ids.length - at, this.#longest - open);
      this.#tokens.write(this.#stored(ids.subarray(at, at + count)));
      at += count;
      open += count;
      tokens += count;
    }
    this.#place = { ...this.#place, tokens, open };
  }

  /** Appends whole documents, which lie one after another; `counts` has the tokens of each. */
  appendDocuments(ids: Uint32Array, counts: Uint32Array): void {
    this.append(ids.subarray(0, counts[0] ?? 0));
    if (counts.length === 0) return;
    this.endDocument();
    if (counts.some((count) => count > this.#longest)) {
      let at = counts[0]!;
      for (const count of counts.subarray(1)) {
        this.append(ids.subarray(at, at += count));
        this.endDocument();
      }
      return;
    }
    this.#tokens.write(this.#stored(ids.subarray(counts[0]!)));
    let { tokens, sequences, documents } = this.#place;
    for (const count of counts.subarray(1)) {
      if (count > 0) {
        this.#newLengths.push(count);
        sequences++;
      }
      tokens += count;
      documents++;
      this.#newBorders.push(BigInt(sequences));
    }
    this.#place = { tokens, sequences, documents, open: 0 };
    this.#flush();
  }

  /** Ends the document; one without tokens has a border and no sequence, as Megatron writes it. */
  endDocument(): void {
    if (this.#place.open > 0) this.#endSequence();
    this.#newBorders.push(BigInt(this.#place.sequences));
    this.#place = { ...this.#place, documents: this.#place.documents + 1 };
    if (this.#newBorders.length >= COPIED) this.#flush();
  }

  #endSequence(): void {
    this.#newLengths.push(this.#place.open);
    this.#place = { ...this.#place, sequences: this.#place.sequences + 1, open: 0 };
  }

  #stored(ids: Uint32Array): Uint8Array {
    const { type } = this.#options;
    const elements = type === 8
      ? new Uint16Array(ids)
      : type === 4
      ? new Int32Array(ids)
      : undefined;
    if (elements === undefined) throw new TypeError("datasets are written as uint16 or int32");
    return new Uint8Array(elements.buffer);
  }

  #flush(): void {
    this.#lengths.write(new Uint8Array(Int32Array.from(this.#newLengths).buffer));
    this.#borders.write(new Uint8Array(BigInt64Array.from(this.#newBorders).buffer));
    this.#newLengths = [];
    this.#newBorders = [];
  }

  /** How much is written. */
  get place(): DatasetPlace {
    return this.#place;
  }

  /** Makes sure that what is written survives a power cut; gives how much it is. */
  sync(): DatasetPlace {
    this.#flush();
    for (const file of [this.#tokens, this.#lengths, this.#borders]) file.sync();
    return this.#place;
  }

  /** Writes the index and closes the files; gives the paths of both parts of the dataset. */
  finish(): { readonly tokens: string; readonly index: string } {
    this.sync();
    const { sequences, documents } = this.#place;
    const path = join(this.#folder, FILES.index);
    const index = new AppendedFile(path, { bytes: 0, name: this.#options.name });
    try {
      const header = new Uint8Array(INDEX_HEADER_BYTES);
      const view = new DataView(header.buffer);
      header.set(INDEX_MAGIC);
      view.setBigUint64(9, 1n, true);
      view.setUint8(17, this.#options.type);
      view.setBigUint64(18, BigInt(sequences), true);
      view.setBigUint64(26, BigInt(documents + 1), true);
      index.write(header);
      for (const part of this.#lengths.parts(4 * COPIED)) index.write(part);
      let position = 0n;
      const bytes = TOKEN_TYPES[this.#options.type].bytes;
      for (const part of this.#lengths.parts(4 * COPIED)) {
        const lengths = new Int32Array(part.buffer, part.byteOffset, part.length / 4);
        const pointers = BigInt64Array.from(lengths, (length) => {
          const pointer = position;
          position += BigInt(length * bytes);
          return pointer;
        });
        index.write(new Uint8Array(pointers.buffer));
      }
      index.write(new Uint8Array(8));
      for (const part of this.#borders.parts(8 * COPIED)) index.write(part);
      index.sync();
    } finally {
      index.close();
    }
    this.close();
    return { tokens: join(this.#folder, FILES.tokens), index: path };
  }

  /** Closes the files as they are. */
  close(): void {
    for (const file of [this.#tokens, this.#lengths, this.#borders]) file.close();
  }
}

/** A file that grows at its end. */
class AppendedFile {
  readonly #name: string;
  readonly #descriptor: number;
  #length: number;
  #closed = false;

  constructor(path: string, { bytes, name }: { readonly bytes: number; readonly name: string }) {
    this.#name = name;
    this.#length = bytes;
    this.#descriptor = this.#try(() => {
      const descriptor = fs.openSync(path, bytes === 0 ? "w+" : "r+");
      if (fs.fstatSync(descriptor).size < bytes) {
        fs.closeSync(descriptor);
        throw new Error(`"${path}" is shorter than it was`);
      }
      fs.ftruncateSync(descriptor, bytes);
      return descriptor;
    });
  }

  #try<T>(action: () => T): T {
    try {
      return action();
    } catch (thrown) {
      throw fileError(thrown, { action: "write", path: this.#name });
    }
  }

  write(bytes: Uint8Array): void {
    this.#try(() => {
      for (let at = 0; at < bytes.length;) {
        at += fs.writeSync(this.#descriptor, bytes, at, bytes.length - at, this.#length + at);
      }
    });
    this.#length += bytes.length;
  }

  *parts(bytes: number): Generator<Uint8Array> {
    for (let at = 0; at < this.#length; at += bytes) {
      const part = new Uint8Array(Math.min(bytes, this.#length - at));
      for (let have = 0; have < part.length;) {
        const left = part.length - have;
        const read = this.#try(() => fs.readSync(this.#descriptor, part, have, left, at + have));
        if (read === 0) throw new Error(`a file of ${this.#name} was cut by another program`);
        have += read;
      }
      yield part;
    }
  }

  sync(): void {
    this.#try(() => fs.fsyncSync(this.#descriptor));
  }

  close(): void {
    if (!this.#closed) fs.closeSync(this.#descriptor);
    this.#closed = true;
  }
}
