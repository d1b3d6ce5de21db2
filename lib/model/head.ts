/**
 * From the last hidden states to logits, or to the log-probability of given tokens, chunk by chunk:
 * tokens x vocabulary is never stored beyond a chunk.
 *
 * Shape suffixes: C rows of a chunk, D hidden size, V vocabulary.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend } from "../backend/backend.ts";
import { normalize } from "./blocks.ts";
import type { ModelConfig } from "./config.ts";
import type { DecoderWeights } from "./decoder_weights.ts";
import { activationBytes, type Products } from "./linear.ts";

/** Logits of a chunk take at most this, unless one row takes more. */
const CHUNK_BYTES = 32 << 20;

/** Where the head works: a chunk of C rows at a time, D wide, over V tokens. */
export interface HeadBuffers {
  /** Rows that were picked. */
  readonly picked_CD: Address;
  /** Picked rows after the final norm. */
  readonly finalNormed_CD: Address;
  /** Logits of a chunk [C, V] f32. */
  readonly logits_CV: Address;
  /** Row numbers, then targets. */
  readonly integers_C: Address;
  /** Log-probability of the targets. */
  readonly logProb_C: Address;
  /** Log of the sum of exponentials. */
  readonly logZ_C: Address;
}

/** Rows that the head takes at once, of at most `rows`. */
export function headChunkRows(config: ModelConfig, rows: number): number {
  return Math.max(1, Math.min(rows, Math.floor(CHUNK_BYTES / (4 * config.vocabSize))));
}

/** Bytes of {@linkcode HeadBuffers} for chunks of `rows`. */
export function headBufferBytes(
  config: ModelConfig,
  rows: number,
): Record<keyof HeadBuffers | "headQuantized", number> {
  const { hiddenSize: D, vocabSize: V } = config;
  return {
    picked_CD: 4 * rows * D,
    finalNormed_CD: 4 * rows * D,
    logits_CV: 4 * rows * V,
    integers_C: 4 * rows,
    logProb_C: 4 * rows,
    logZ_C: 4 * rows,
    headQuantized: activationBytes(rows, D),
  };
}

/** Log-probabilities of target tokens. */
export interface Scores {
  /** log p(target) per row, 0 where the target is negative. */
  readonly logProb: Float32Array;
  /** log sum exp of the logits per row. */
  readonly logZ: Float32Array;
}

/** The logits of some rows, on the backend until the next chunk is asked for. */
export interface HeadChunk {
  /** Which of the rows asked for is the first of this chunk. */
  readonly first: number;
  /** Rows C of this chunk. */
  readonly count: number;
  /** The logits [C, V], in memory that the next call overwrites. */
  logits(): Float32Array;
  /** Scores one target token per row of the chunk; a negative target is not counted. */
  score(targets_C: Int32Array): Scores;
}

/** What the head works with. */
export interface HeadOptions {
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Final norm and head. */
  readonly weights: DecoderWeights;
  /** Products with weights. */
  readonly products: Products;
  /** Where the chunks go. */
  readonly buffers: HeadBuffers;
  /** Hidden states of the last forward pass [T, D]. */
  readonly hidden_TD: Address;
  /** Rows of the hidden states that were planned. */
  readonly rows: number;
}

/** The head of a decoder, over the hidden states of its last forward pass. */
export class Head {
  /** Rows per chunk. */
  readonly chunkRows: number;
  readonly #backend: Backend;
  readonly #options: HeadOptions;
  readonly #host: Float32Array;

  /** Makes a head over buffers of {@linkcode headBufferBytes}. */
  constructor(backend: Backend, options: HeadOptions) {
    this.chunkRows = headChunkRows(options.config, options.rows);
    this.#backend = backend;
    this.#options = options;
    this.#host = new Float32Array(this.chunkRows * options.config.vocabSize);
  }

  /** Computes the logits of the rows, in their order, one chunk at a time. */
  *chunks(rows: ArrayLike<number>): Generator<HeadChunk, void, void> {
    for (let first = 0; first < rows.length; first += this.chunkRows) {
      const count = Math.min(this.chunkRows, rows.length - first);
      this.#compute(rows, first, count);
      yield {
        first,
        count,
        logits: () => this.#logits(count),
        score: (targets_C) => this.#score(targets_C, count),
      };
    }
  }

  #compute(rows: ArrayLike<number>, first: number, count: number): void {
    const { config, weights, products, buffers } = this.#options;
    const { finalNormed_CD, logits_CV } = buffers;
    const x = this.#pick(rows, first, count);
    const norm = { out: finalNormed_CD, x, weight: weights.finalNorm, rows: count };
    normalize({ backend: this.#backend, config }, norm);
    products.multiply(weights.head, { out: logits_CV, x: finalNormed_CD, rows: count });
    if (config.logitsScale === 1) return;
    this.#backend.kernels.scale({
      x: logits_CV,
      factor: config.logitsScale,
      count: count * config.vocabSize,
    });
  }

  #logits(count: number): Float32Array {
    const { config: { vocabSize: V }, buffers } = this.#options;
    const logits_CV = this.#host.subarray(0, count * V);
    this.#backend.download(logits_CV, buffers.logits_CV);
    return logits_CV;
  }

  #score(targets_C: Int32Array, count: number): Scores {
    const { config: { vocabSize: V }, buffers } = this.#options;
    this.#backend.upload(buffers.integers_C, targets_C.subarray(0, count));
    this.#backend.kernels.score({
      log_prob: buffers.logProb_C,
      log_z: buffers.logZ_C,
      logits: buffers.logits_CV,
      targets: buffers.integers_C,
      rows: count,
      vocab: V,
    });
    const scores = { logProb: new Float32Array(count), logZ: new Float32Array(count) };
    this.#backend.download(scores.logProb, buffers.logProb_C);
    this.#backend.download(scores.logZ, buffers.logZ_C);
    return scores;
  }

  /** Address of the chunk's hidden states: where they are if they lie side by side, else gathered. */
  #pick(rows: ArrayLike<number>, first: number, count: number): Address {
    const { config: { hiddenSize: D }, buffers, hidden_TD } = this.#options;
    const start = rows[first]!;
    if (rows[first + count - 1] === start + count - 1) return hidden_TD + 4 * start * D;
    const numbers = Int32Array.from({ length: count }, (_, i) => rows[first + i]!);
    this.#backend.upload(buffers.integers_C, numbers);
    this.#backend.kernels.embedding({
      out: buffers.picked_CD,
      table: hidden_TD,
      ids: buffers.integers_C,
      table_dtype: DTYPE_CODES.f32,
      rows: count,
      vocab: this.#options.rows,
      dim: D,
    });
    return buffers.picked_CD;
  }
}
