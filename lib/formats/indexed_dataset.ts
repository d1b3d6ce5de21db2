/**
 * Megatron's indexed dataset: token ids in `PREFIX.bin`, where each sequence lies in `PREFIX.idx`.
 *
 * The index, little endian: `MMIDIDX\0\0`, u64 version 1, u8 element type, u64 sequences, u64 document
 * borders, then i32 lengths of the sequences (in tokens), i64 positions of the sequences in the `.bin`
 * (in bytes), i64 document borders: document d holds the sequences borders[d] ... borders[d+1] - 1.
 *
 * Source: Megatron-LM, megatron/core/datasets/indexed_dataset.py.
 *
 * @module
 */

import fs from "node:fs";
import { quotedPath } from "../base/quoted.ts";
import { InputFile } from "./input_file.ts";
import type { FormatError } from "../base/errors.ts";
import { refusal } from "./tensor_file.ts";

/** The first nine bytes of an index. */
export const INDEX_MAGIC: Uint8Array = new TextEncoder().encode("MMIDIDX\0\0");
/** Bytes before the lengths. */
export const INDEX_HEADER_BYTES = 34;

/** Element types that hold token ids; the codes are Megatron's. */
export const TOKEN_TYPES = {
  1: { name: "uint8", bytes: 1 },
  4: { name: "int32", bytes: 4 },
  5: { name: "int64", bytes: 8 },
  8: { name: "uint16", bytes: 2 },
} as const;

/** Code of an element type in the index. */
export type TokenTypeCode = keyof typeof TOKEN_TYPES;

/** The narrowest type that Megatron itself would choose for a vocabulary: uint16 below 65,500. */
export function tokenTypeFor(vocabSize: number): TokenTypeCode {
  return vocabSize < 65_500 ? 8 : 4;
}

/** Paths of a dataset: tokens in `PREFIX.bin`, their lengths and documents in `PREFIX.idx`. */
export function datasetPaths(prefix: string): { readonly bin: string; readonly idx: string } {
  return { bin: `${prefix}.bin`, idx: `${prefix}.idx` };
}

/** Nothing is there: the prefix is misspelt, one of the two files was named, or it is a text. */
function noDataset(prefix: string, idx: string): FormatError {
  const stem = prefix.replace(/\.(?:bin|idx)$/, "");
  const hint = stem !== prefix && fs.existsSync(datasetPaths(stem).idx)
    ? `give what both files begin with: ${quotedPath(stem)}`
    : "llamero tokenize pack makes datasets; a text to train on is given by --text";
  return refusal(prefix, `there is no such file as ${quotedPath(idx)}`, { hint });
}

/** An open dataset: its index in memory, its tokens on disk. */
export class IndexedDataset {
  /** The paths' common beginning, as the user named it. */
  readonly prefix: string;
  /** Name of the element type, for example `uint16`. */
  readonly tokenType: string;
  /** Length of each sequence in tokens. */
  readonly lengths: Int32Array;
  /** Borders of the documents in sequences; one more than there are documents. */
  readonly documents: BigInt64Array;
  /** Tokens of all sequences together. */
  readonly tokens: number;
  readonly #pointers: BigInt64Array;
  readonly #code: TokenTypeCode;
  readonly #bin: InputFile;

  private constructor(prefix: string, index: Index, bin: InputFile) {
    this.prefix = prefix;
    this.tokenType = TOKEN_TYPES[index.code].name;
    this.lengths = index.lengths;
    this.documents = index.documents;
    this.tokens = index.tokens;
    this.#pointers = index.pointers;
    this.#code = index.code;
    this.#bin = bin;
  }

  /** Opens `PREFIX.idx` and `PREFIX.bin` and checks the one against the other. */
  static open(prefix: string): IndexedDataset {
    const paths = datasetPaths(prefix);
    if (!fs.existsSync(paths.idx)) throw noDataset(prefix, paths.idx);
    using idx = InputFile.open(paths.idx);
    const bin = InputFile.open(paths.bin);
    try {
      return new IndexedDataset(prefix, readIndex(idx, bin), bin);
    } catch (thrown) {
      bin.close();
      throw thrown;
    }
  }

  /** Number of sequences. */
  get sequences(): number {
    return this.lengths.length;
  }

  /** Number of documents. */
  get documentCount(): number {
    return Math.max(0, this.documents.length - 1);
  }

  /**
   * Copies `target.length` token ids of a sequence, from its token `offset` on.
   *
   * @throws {FormatError} If an id does not fit in 31 bits.
   */
  read(sequence: number, { offset, target }: { offset: number; target: Int32Array }): void {
    const length = this.lengths[sequence];
    if (length === undefined || offset < 0 || offset + target.length > length) {
      throw new RangeError(
        `Cannot read ${target.length} tokens at ${offset} of sequence ${sequence}: it has ${length}`,
      );
    }
    const bytes = TOKEN_TYPES[this.#code].bytes;
    const position = Number(this.#pointers[sequence]!) + offset * bytes;
    const raw = new Uint8Array(target.length * bytes);
    this.#bin.readInto(raw, position);
    const view = new DataView(raw.buffer);
    for (let i = 0; i < target.length; i++) target[i] = tokenAt(view, i, this.#code);
    if (this.#code !== 4 && this.#code !== 5) return;
    const bad = target.findIndex((id) => id < 0);
    if (bad >= 0) {
      const what = `token ${offset + bad} of sequence ${sequence} is no id`;
      throw refusal(datasetPaths(this.prefix).bin, what, { offset: position + bad * bytes });
    }
  }

  /** Closes the `.bin`. */
  close(): void {
    this.#bin.close();
  }

  /** {@linkcode IndexedDataset.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function tokenAt(view: DataView, i: number, code: TokenTypeCode): number {
  switch (code) {
    case 1:
      return view.getUint8(i);
    case 8:
      return view.getUint16(2 * i, true);
    case 4:
      return view.getInt32(4 * i, true);
    case 5: {
      const id = view.getBigInt64(8 * i, true);
      return id >= 0n && id <= 0x7fff_ffffn ? Number(id) : -1;
    }
  }
}

interface Index {
  readonly code: TokenTypeCode;
  readonly lengths: Int32Array;
  readonly pointers: BigInt64Array;
  readonly documents: BigInt64Array;
  readonly tokens: number;
}

function readIndex(idx: InputFile, bin: InputFile): Index {
  const header = idx.read(0, INDEX_HEADER_BYTES);
  if (INDEX_MAGIC.some((byte, i) => header[i] !== byte)) {
    throw refusal(idx.path, "it does not begin with MMIDIDX, as an indexed dataset's index does");
  }
  const view = new DataView(header.buffer);
  const version = view.getBigUint64(9, true);
  if (version !== 1n) throw refusal(idx.path, `its version is ${version}, wanted 1`, { offset: 9 });
  const code = view.getUint8(17);
  if (!isTokenType(code)) {
    throw refusal(idx.path, `its element type is ${code}, wanted 1, 4, 5 or 8`, { offset: 17 });
  }
  const sequences = view.getBigUint64(18, true);
  const borders = view.getBigUint64(26, true);
  const wanted = BigInt(INDEX_HEADER_BYTES) + sequences * 12n + borders * 8n;
  if (wanted !== BigInt(idx.size)) {
    const what =
      `${sequences} sequences and ${borders} document borders take ${wanted} bytes, it has ${idx.size}`;
    throw refusal(idx.path, what, { offset: 18 });
  }
  const count = Number(sequences);
  const lengths = new Int32Array(count);
  const pointers = new BigInt64Array(count);
  const documents = new BigInt64Array(Number(borders));
  let position = INDEX_HEADER_BYTES;
  for (const array of [lengths, pointers, documents]) {
    // Every machine that runs Deno is little endian.
    idx.readInto(new Uint8Array(array.buffer), position);
    position += array.byteLength;
  }
  const tokens = checkSequences(idx, bin, { code, lengths, pointers });
  checkDocuments(idx, documents, count);
  return { code, lengths, pointers, documents, tokens };
}

function isTokenType(code: number): code is TokenTypeCode {
  return code in TOKEN_TYPES;
}

function checkSequences(
  idx: InputFile,
  bin: InputFile,
  index: Pick<Index, "code" | "lengths" | "pointers">,
): number {
  const bytes = TOKEN_TYPES[index.code].bytes;
  let tokens = 0;
  for (let i = 0; i < index.lengths.length; i++) {
    const length = index.lengths[i]!;
    const pointer = Number(index.pointers[i]!);
    if (length < 0 || pointer < 0 || pointer + length * bytes > bin.size) {
      const what = `sequence ${i} has ${length} tokens at byte ${pointer}, ` +
        `and "${bin.path}" has ${bin.size} bytes`;
      throw refusal(idx.path, what, { offset: INDEX_HEADER_BYTES + 4 * i });
    }
    tokens += length;
  }
  return tokens;
}

function checkDocuments(idx: InputFile, documents: BigInt64Array, sequences: number): void {
  let last = 0n;
  for (let d = 0; d < documents.length; d++) {
    const border = documents[d]!;
    if (border < last || border > BigInt(sequences) || (d === 0 && border !== 0n)) {
      const what = `document border ${d} is ${border}, wanted ${last} to ${sequences}`;
      throw refusal(idx.path, what, { offset: idx.size - 8 * (documents.length - d) });
    }
    last = border;
  }
}
