/**
 * The head of a model that trains: from the last hidden states to the log-probability of every target,
 * and from a weight per target back to the gradient of the hidden states, chunk by chunk. Tokens x
 * vocabulary is never stored beyond a chunk.
 *
 * Shape suffixes: T rows of the batch, C rows of a chunk, D hidden size, V vocabulary.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import { normalize } from "../blocks.ts";
import type { ModelConfig } from "../config.ts";
import type { TrainedWeight, TrainingProducts } from "./linear.ts";
import type { PlacedBatch } from "./batch.ts";
import type { TrainedNorm } from "./parameters.ts";
import type { RowRange } from "./row_exchange.ts";
import { normBackward } from "./stream.ts";

/**
 * Logits of a chunk take at most this, unless one row takes more: long chunks read and write the
 * gradient of the head less often.
 */
const CHUNK_BYTES = 64 << 20;

/** Where the head works while it trains: a chunk of rows at a time. */
export interface TrainingHeadBuffers {
  /** Hidden states of a chunk after the final norm, scaled as logits are. */
  readonly finalNormed_CD: Address;
  /** Their gradient. */
  readonly dfinalNormed_CD: Address;
  /** Logits, then their gradient. */
  readonly logits_CV: Address;
  /** Log-probability of the targets, 0 where a target is negative. */
  readonly logProb_T: Address;
  /** Log of the sum of exponentials of the logits. */
  readonly logZ_T: Address;
}

/** Rows that the head takes at once, of at most `rows`. */
export function trainingChunkRows(
  config: Pick<ModelConfig, "vocabSize">,
  rows: number,
): number {
  return Math.max(1, Math.min(rows, Math.floor(CHUNK_BYTES / (4 * config.vocabSize))));
}

/** The chunks of so many rows: they begin at multiples of a length that the vocabulary alone decides. */
export function* trainingChunks(
  config: Pick<ModelConfig, "vocabSize">,
  all: number,
): Generator<RowRange> {
  const length = trainingChunkRows(config, all);
  for (let first = 0; first < all; first += length) {
    yield { first, rows: Math.min(length, all - first) };
  }
}

/** x [rows, D] times scale / temperature, in place: the factor of the logits is put on the smaller matrix. */
export function scaleAsLogits(
  { backend, config: { logitsScale, hiddenSize } }: {
    readonly backend: Backend;
    readonly config: Pick<ModelConfig, "logitsScale" | "hiddenSize">;
  },
  { x, rows, temperature }: {
    readonly x: Address;
    readonly rows: number;
    readonly temperature: number;
  },
): void {
  const factor = logitsScale / temperature;
  if (factor !== 1) backend.kernels.scale({ x, factor, count: rows * hiddenSize });
}

/** Bytes of {@linkcode TrainingHeadBuffers} for T rows. */
export function trainingHeadBytes(
  config: ModelConfig,
  rows: number,
): Record<keyof TrainingHeadBuffers, number> {
  const { hiddenSize: D, vocabSize: V } = config;
  const chunk = trainingChunkRows(config, rows);
  return {
    finalNormed_CD: 4 * chunk * D,
    dfinalNormed_CD: 4 * chunk * D,
    logits_CV: 4 * chunk * V,
    logProb_T: 4 * rows,
    logZ_T: 4 * rows,
  };
}

/** What the head works with. */
export interface TrainingHeadOptions {
  /** Sizes and constants. */
  readonly config: ModelConfig;
  /** Norm before the head. */
  readonly norm: TrainedNorm;
  /** The head [V, D]. */
  readonly weight: TrainedWeight;
  /** Products with weights. */
  readonly products: TrainingProducts;
  /** Where chunks and results go. */
  readonly buffers: TrainingHeadBuffers;
  /** Hidden states of the last forward pass [T, D]. */
  readonly hidden_TD: Address;
  /** Where their gradient goes [T, D]. */
  readonly dhidden_TD: Address;
}

/** How the head goes backward. */
export interface HeadBackwardOptions {
  /** The targets, for skipping chunks where none counts [T]. */
  readonly targets: Int32Array;
  /** Weights of the targets, as the batch's memory has them [T]. */
  readonly weights: Float32Array<ArrayBuffer>;
  /** Weight of log^2 Z. */
  readonly zLoss: number;
  /** What the logits are divided by. @default {1} */
  readonly temperature?: number | undefined;
  /** Whether the gradient of the head's weight is added to what is there. */
  readonly accumulate: boolean;
}

/** A head, over the hidden states of the last forward pass. */
export interface Head {
  /** Computes logProb and logZ of all rows, of the logits divided by a temperature. */
  score(batch: PlacedBatch, temperature: number): void;
  /**
   * Gradients of sum_t weight_t (-log p(target_t) + zLoss log^2 Z_t): that of the hidden states
   * replaces what dhidden holds. On the way come logProb and logZ of the rows that count, so that the
   * plain loss needs no {@linkcode Head.score}.
   */
  backward(batch: PlacedBatch, options: HeadBackwardOptions): void;
}

/** The head where it is whole. */
export class TrainingHead implements Head {
  readonly #backend: Backend;
  readonly #options: TrainingHeadOptions;

  /** Makes a head over buffers of {@linkcode trainingHeadBytes}. */
  constructor(backend: Backend, options: TrainingHeadOptions) {
    this.#backend = backend;
    this.#options = options;
  }

  /** See {@linkcode Head.score}. */
  score(batch: PlacedBatch, temperature: number): void {
    const { config: { vocabSize }, buffers: { logits_CV, logProb_T, logZ_T } } = this.#options;
    for (const { first, rows } of trainingChunks({ vocabSize }, batch.rows)) {
      this.#logits(first, rows, temperature);
      this.#backend.kernels.score({
        log_prob: logProb_T + 4 * first,
        log_z: logZ_T + 4 * first,
        logits: logits_CV,
        targets: batch.targets_T + 4 * first,
        rows,
        vocab: vocabSize,
      });
    }
  }

  /** See {@linkcode Head.backward}. */
  backward(batch: PlacedBatch, options: HeadBackwardOptions): void {
    const { config, dhidden_TD } = this.#options;
    const { targets, temperature = 1, zLoss } = options;
    let { accumulate } = options;
    this.#backend.fill(dhidden_TD, 0, 4 * batch.rows * config.hiddenSize);
    for (const { first, rows } of trainingChunks(config, batch.rows)) {
      if (targets.subarray(first, first + rows).every((target) => target < 0)) continue;
      this.#logits(first, rows, temperature);
      this.#lossGradient(batch, { first, rows, zLoss });
      this.#backwardChunk({ first, rows, temperature, accumulate });
      accumulate = true;
    }
  }

  /** logits = scale / temperature * norm(hidden) W^T. */
  #logits(first: number, rows: number, temperature: number): void {
    const { config, norm, weight, products, hidden_TD, buffers } = this.#options;
    const { hiddenSize: D } = config;
    const { finalNormed_CD: x, logits_CV } = buffers;
    const hidden = hidden_TD + 4 * first * D;
    const run = { backend: this.#backend, config };
    normalize(run, { out: x, x: hidden, weight: norm.weight, rows });
    scaleAsLogits(run, { x, rows, temperature });
    products.forward(weight, { out: logits_CV, x, rows });
  }

  #lossGradient(
    batch: PlacedBatch,
    { first, rows, zLoss }: { first: number; rows: number; zLoss: number },
  ): void {
    const { config: { vocabSize }, buffers } = this.#options;
    this.#backend.kernels.cross_entropy({
      logits: buffers.logits_CV,
      log_prob: buffers.logProb_T + 4 * first,
      log_z: buffers.logZ_T + 4 * first,
      targets: batch.targets_T + 4 * first,
      weights: batch.weights_T + 4 * first,
      rows,
      vocab: vocabSize,
      z_loss: zLoss,
    });
  }

  #backwardChunk(chunk: ChunkBackward): void {
    const { config, norm, weight, products, hidden_TD, dhidden_TD, buffers } = this.#options;
    const { first, rows, temperature, accumulate } = chunk;
    const { finalNormed_CD: x, dfinalNormed_CD: dx, logits_CV: dy } = buffers;
    products.backwardInput(weight, { dx, dy, rows });
    products.backwardWeight(weight, { dy, x, rows, accumulate });
    const run = { backend: this.#backend, config };
    scaleAsLogits(run, { x: dx, rows, temperature });
    const at = 4 * first * config.hiddenSize;
    normBackward(run, {
      dx: dhidden_TD + at,
      dy: dx,
      x: hidden_TD + at,
      norm,
      rows,
    });
  }
}

interface ChunkBackward extends RowRange {
  readonly temperature: number;
  readonly accumulate: boolean;
}
