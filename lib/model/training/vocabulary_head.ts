/**
 * The head where tensor ranks share the vocabulary: every rank makes the logits of its tokens, and the
 * ranks tell each other three numbers per row instead of the row (Shoeybi et al. 2019, arXiv:1909.08053,
 * section 3, "fuse the output of the parallel GEMM with the cross entropy loss").
 *
 * Bytes that one of N ranks sends for T rows: the final norm's result gathered once for scores and once
 * for gradients, their sum over ranks once, 4 T D (N-1)/N each; scores of a chunk of C rows 12 C (N-1).
 *
 * Shape suffixes: T rows of the batch, C rows of a chunk, D hidden size, V tokens of this rank.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import { normalize } from "../blocks.ts";
import type { ModelConfig } from "../config.ts";
import type { PlacedBatch } from "./batch.ts";
import type { WorkingBuffers } from "./block_run.ts";
import type { RowCounts } from "./kept.ts";
import {
  type Head,
  type HeadBackwardOptions,
  scaleAsLogits,
  trainingChunkRows,
  trainingChunks,
  type TrainingHeadOptions,
} from "./head.ts";
import type { RowExchange, RowRange } from "./row_exchange.ts";
import { clearNormShares, normShare, sumNorms } from "./shared_sums.ts";
import { normBackward } from "./stream.ts";
import { DeviceScores } from "./device_scores.ts";
import {
  HostScores,
  type VocabularyHeadBuffers,
  type VocabularyScores,
} from "./vocabulary_scores.ts";

/** Bytes of {@linkcode VocabularyHeadBuffers}; the config has the part of this rank. */
export function vocabularyHeadBytes(
  { hiddenSize: D, vocabSize: V }: ModelConfig,
  { rows, ownRows, largestPart, connected }: RowCounts & {
    /** Tokens of the largest part. */
    readonly largestPart: number;
    /** How many ranks have connected GPUs; 0 where they are not. */
    readonly connected: number;
  },
): Record<keyof VocabularyHeadBuffers, number> {
  const chunk = trainingChunkRows({ vocabSize: largestPart }, rows);
  return {
    finalNormed_CD: 4 * ownRows * D,
    dfinalNormed_CD: 0,
    logits_CV: 4 * chunk * V,
    logProb_T: 4 * rows,
    logZ_T: 4 * rows,
    shift_C: 4 * chunk,
    sum_C: 4 * chunk,
    chosen_C: 4 * chunk,
    told_N3C: connected === 0 ? 0 : 4 * connected * 3 * chunk,
    counts_C: connected === 0 ? 0 : 4 * chunk,
  };
}

/** What the head works with besides the options of a whole one. */
export interface VocabularyHeadOptions extends TrainingHeadOptions {
  /** How rows go between ranks. */
  readonly exchange: RowExchange;
  /** Tokens of the largest part of the vocabulary, by which all ranks cut chunks. */
  readonly largestPart: number;
  /** Buffers of the head. */
  readonly buffers: VocabularyHeadBuffers;
  /** Buffers that blocks work in, at other times. */
  readonly working: WorkingBuffers;
}

/** The head, over this rank's rows of the hidden states and its part of the vocabulary. */
export class VocabularyHead implements Head {
  readonly #backend: Backend;
  readonly #options: VocabularyHeadOptions;
  readonly #scores: VocabularyScores;

  /** Works with memory that was planned. */
  constructor(backend: Backend, options: VocabularyHeadOptions) {
    this.#backend = backend;
    this.#options = options;
    const { exchange: { ranks, gpus }, buffers } = options;
    const vocab = options.config.vocabSize;
    this.#scores = gpus === undefined
      ? new HostScores(backend, { ranks, buffers, vocab })
      : new DeviceScores(backend, { ranks: gpus.ranks, buffers, vocab });
  }

  /** See {@linkcode Head.score}. */
  score(batch: PlacedBatch, temperature: number): void {
    this.#gather(batch, temperature);
    for (const chunk of this.#chunks(batch.rows)) {
      this.#logits(chunk);
      this.#scores.score(batch, chunk);
    }
  }

  /** See {@linkcode Head.backward}. */
  backward(batch: PlacedBatch, options: HeadBackwardOptions): void {
    const { config, working: { partial_TD }, weight, products, buffers } = this.#options;
    const { targets, temperature = 1 } = options;
    let { accumulate } = options;
    this.#gather(batch, temperature);
    this.#backend.fill(partial_TD, 0, 4 * batch.rows * config.hiddenSize);
    const counts = ({ first, rows }: RowRange) =>
      targets.subarray(first, first + rows).some((target) => target >= 0);
    const chunks = [...this.#chunks(batch.rows)].filter(counts);
    const dy = buffers.logits_CV;
    for (const [index, chunk] of chunks.entries()) {
      const { first, rows } = chunk;
      this.#logits(chunk);
      this.#lossGradient(batch, { ...options, ...chunk });
      const at = 4 * first * config.hiddenSize;
      products.backwardInput(weight, { dx: partial_TD + at, dy, rows });
      const weightGradient = () =>
        products.backwardWeight(weight, { dy, x: this.#rows(first), rows, accumulate });
      if (index < chunks.length - 1) weightGradient();
      else this.#backwardNorm(batch, { temperature, meanwhile: weightGradient });
      accumulate = true;
    }
  }

  /** Brings all rows of scale / temperature * norm(hidden) together. */
  #gather(batch: PlacedBatch, temperature: number): void {
    const { config, norm, hidden_TD, buffers: { finalNormed_CD }, exchange } = this.#options;
    const { rows } = exchange.own(batch.rows);
    const run = { backend: this.#backend, config };
    normalize(run, { out: finalNormed_CD, x: hidden_TD, weight: norm.weight, rows });
    scaleAsLogits(run, { x: finalNormed_CD, rows, temperature });
    const to = this.#rows(0);
    exchange.startGather({ from: finalNormed_CD, to, rows: batch.rows }).finish();
  }

  /** Where all rows of the final norm's result are, from one on. */
  #rows(first: number): Address {
    const { working: { gathered_TD }, config: { hiddenSize } } = this.#options;
    return gathered_TD + 4 * first * hiddenSize;
  }

  #logits({ first, rows }: RowRange): void {
    const { weight, products, buffers: { logits_CV } } = this.#options;
    products.forward(weight, { out: logits_CV, x: this.#rows(first), rows });
  }

  /** Makes logits their gradient. */
  #lossGradient(
    batch: PlacedBatch,
    { first, rows, weights, zLoss }: RowRange & HeadBackwardOptions,
  ): void {
    const { buffers, config } = this.#options;
    const { logits_CV: logits, sum_C, chosen_C } = buffers;
    this.#scores.score(batch, { first, rows, gradient: { weights, zLoss } });
    this.#backend.kernels.cross_entropy_part({
      ...{ logits, factors: sum_C, weights: chosen_C, rows, vocab: config.vocabSize },
      targets: batch.targets_T + 4 * first,
    });
  }

  /** Gradient of the hidden states from everybody's partial sums; `meanwhile` is done while they travel. */
  #backwardNorm(
    { rows: all }: PlacedBatch,
    { temperature, meanwhile }: { readonly temperature: number; readonly meanwhile: () => void },
  ): void {
    const { config, norm, hidden_TD, dhidden_TD, exchange, working } = this.#options;
    const { dnormed_TD, partial_TD } = working;
    const { rows } = exchange.own(all);
    const run = { backend: this.#backend, config, exchange, working };
    const sum = exchange.startSum({ from: partial_TD, to: dnormed_TD, rows: all });
    meanwhile();
    sum.finish();
    scaleAsLogits(run, { x: dnormed_TD, rows, temperature });
    this.#backend.fill(dhidden_TD, 0, 4 * rows * config.hiddenSize);
    clearNormShares(run);
    const share = normShare(run, { norm, index: 0 });
    normBackward(run, { dx: dhidden_TD, dy: dnormed_TD, x: hidden_TD, norm: share, rows });
    sumNorms(run, [norm]).finish();
  }

  /** Chunks of the same rows on all ranks. */
  #chunks(all: number): Generator<RowRange> {
    return trainingChunks({ vocabSize: this.#options.largestPart }, all);
  }
}
