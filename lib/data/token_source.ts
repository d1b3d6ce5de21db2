/**
 * A dataset as one long row of tokens, cut into windows of a sequence and the token after it.
 *
 * Window w of length L has the tokens w L … w L + L: the last token of one is the first of the next,
 * so that every token but the very first is a target exactly once. What is left at the end, shorter
 * than a window, is not used.
 *
 * @module
 */

import { LlameroError } from "../base/errors.ts";
import { formatInteger } from "../base/format.ts";
import { quotedPath } from "../base/quoted.ts";
import { datasetPaths, IndexedDataset } from "../formats/indexed_dataset.ts";
import { refusal } from "../formats/tensor_file.ts";

/** One window of a source. */
export interface Window {
  /** Tokens: a sequence and the one after it. */
  readonly tokens: Int32Array;
  /** Places in `tokens` at which documents begin, ascending; 0 only where one begins there. */
  readonly documents: readonly number[];
}

/** An open dataset, addressed by token. */
export class TokenSource {
  /** The dataset's prefix. */
  readonly name: string;
  /** How many tokens it has. */
  readonly tokens: number;
  readonly #dataset: IndexedDataset;
  /** Where each sequence begins, and the end of the last. */
  readonly #begins: Float64Array;
  /** Where each document begins, ascending, those without tokens left out. */
  readonly #documents: Float64Array;

  private constructor(dataset: IndexedDataset) {
    this.name = dataset.prefix;
    this.tokens = dataset.tokens;
    this.#dataset = dataset;
    const begins = new Float64Array(dataset.sequences + 1);
    for (let i = 0; i < dataset.sequences; i++) begins[i + 1] = begins[i]! + dataset.lengths[i]!;
    this.#begins = begins;
    const documents = Array.from(
      dataset.documents.subarray(0, dataset.documentCount),
      (border) => begins[Number(border)]!,
    );
    this.#documents = Float64Array.from(
      documents.filter((at, i) => at < dataset.tokens && at !== documents[i + 1]),
    );
  }

  /** Opens `PREFIX.idx` and `PREFIX.bin`. @throws {FormatError} Where they are not consistent. */
  static open(prefix: string): TokenSource {
    return new TokenSource(IndexedDataset.open(prefix));
  }

  /**
   * How many windows of a length there are.
   *
   * @throws {LlameroError} Where there is none.
   */
  windows(length: number): number {
    const windows = Math.floor((this.tokens - 1) / length);
    if (windows >= 1) return windows;
    throw new LlameroError(
      `Cannot train on ${quotedPath(this.name)}: it has ${formatInteger(this.tokens)} tokens, ` +
        `at least ${formatInteger(length + 1)} were wanted for one sequence`,
      { hint: "give more text, or a shorter sequence with --seq-len" },
    );
  }

  /**
   * Reads a window.
   *
   * @throws {FormatError} Where a token is beyond the vocabulary.
   */
  read(window: number, { length, vocabSize }: { length: number; vocabSize: number }): Window {
    const first = window * length;
    const tokens = new Int32Array(length + 1);
    let at = 0;
    for (let i = lastAtMost(this.#begins, first); at < tokens.length; i++) {
      const offset = first + at - this.#begins[i]!;
      const count = Math.min(tokens.length - at, this.#dataset.lengths[i]! - offset);
      if (count <= 0) continue;
      this.#dataset.read(i, { offset, target: tokens.subarray(at, at + count) });
      at += count;
    }
    this.#check(tokens, { first, vocabSize });
    return { tokens, documents: this.#documentsIn(first, tokens.length) };
  }

  #check(tokens: Int32Array, { first, vocabSize }: { first: number; vocabSize: number }): void {
    for (let i = 0; i < tokens.length; i++) {
      if (tokens[i]! < vocabSize) continue;
      throw refusal(
        datasetPaths(this.name).bin,
        `token ${first + i} is ${tokens[i]}, and the model's vocabulary ends at ${vocabSize - 1}`,
        { hint: "pack the text with the tokenizer that the model is trained with" },
      );
    }
  }

  #documentsIn(first: number, count: number): number[] {
    const places: number[] = [];
    let i = Math.max(0, lastAtMost(this.#documents, first));
    for (; i < this.#documents.length && this.#documents[i]! < first + count; i++) {
      if (this.#documents[i]! >= first) places.push(this.#documents[i]! - first);
    }
    return places;
  }

  /** Closes the files. */
  close(): void {
    this.#dataset.close();
  }

  /** {@linkcode TokenSource.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Index of the last of ascending values that is at most `value`, or -1. */
function lastAtMost(values: Float64Array, value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
