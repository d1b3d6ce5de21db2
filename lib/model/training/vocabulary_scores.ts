/**
 * Scores of rows whose vocabulary tensor ranks share: three numbers per row and rank become the row's
 * log-probability and log Z, and the factors of its gradient.
 *
 * log Z = M + log sum_p sum_p exp(shift_p - M), over parts p in the order of their ranks and in double
 * precision, the same bits on all of them.
 *
 * Shape suffixes: N ranks, C rows of a chunk, T rows of the batch.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { Communicator } from "../../comm/communicator.ts";
import type { PlacedBatch } from "./batch.ts";
import type { TrainingHeadBuffers } from "./head.ts";
import type { RowRange } from "./row_exchange.ts";

/** Buffers that only a head over a part of the vocabulary needs. */
export interface VocabularyHeadBuffers extends TrainingHeadBuffers {
  /** What every row's logits were diminished by before their exponentials were taken. */
  readonly shift_C: Address;
  /** Sums of exponentials; then factors of the gradient. */
  readonly sum_C: Address;
  /** Logits of the targets that are here; then weights of all that count. */
  readonly chosen_C: Address;
  /** Shifts, sums and chosen logits of all ranks, where their GPUs are connected. */
  readonly told_N3C: Address;
  /** Whether each row's target counts, where GPUs are connected. */
  readonly counts_C: Address;
}

/** What rows are scored with. */
export interface ScoredRows extends RowRange {
  /** Where the loss's gradient is wanted: weights of all targets of the batch, and of log^2 Z. */
  readonly gradient?: {
    readonly weights: Float32Array<ArrayBuffer>;
    readonly zLoss: number;
  } | undefined;
}

/** Puts scores together; all ranks call it for the same rows. */
export interface VocabularyScores {
  /**
   * Scores rows of a chunk whose logits are there. With a gradient logits become exponentials, `sum_C` the
   * factors of these and `chosen_C` the weights of the targets.
   */
  score(batch: PlacedBatch, rows: ScoredRows): void;
}

/** What scores are put together with. */
export interface VocabularyScoresOptions<Ranks> {
  /** The ranks that share the vocabulary. */
  readonly ranks: Ranks;
  /** Buffers of the head. */
  readonly buffers: VocabularyHeadBuffers;
  /** Tokens of this rank. */
  readonly vocab: number;
}

/** Numbers per row that the ranks tell each other: shift, sum, chosen. */
const TOLD = 3;

/** Weights of rows whose targets count, 0 for the others. */
export function countingWeights(
  { targets }: Pick<PlacedBatch, "targets">,
  { first, rows, weights }: RowRange & { readonly weights: Float32Array<ArrayBuffer> },
): Float32Array<ArrayBuffer> {
  return weights.slice(first, first + rows)
    .map((weight, row) => targets[first + row]! < 0 ? 0 : weight);
}

/** Puts scores together in the processor's memory. */
export class HostScores implements VocabularyScores {
  readonly #backend: Backend;
  readonly #options: VocabularyScoresOptions<Communicator>;

  /** Works with memory that was planned. */
  constructor(backend: Backend, options: VocabularyScoresOptions<Communicator>) {
    this.#backend = backend;
    this.#options = options;
  }

  /** See {@linkcode VocabularyScores.score}. */
  score(batch: PlacedBatch, { first, rows, gradient }: ScoredRows): void {
    const { buffers, ranks } = this.#options;
    const parts = this.#told(batch, { first, rows, gradient });
    const logZ = Float64Array.from({ length: rows }, (_, row) => {
      const most = parts.reduce((max, { shift }) => Math.max(max, shift[row]!), -Infinity);
      const total = parts.reduce((sum, part) => {
        return sum + part.sum[row]! * Math.exp(part.shift[row]! - most);
      }, 0);
      return most + Math.log(total);
    });
    const logProb = Float32Array.from(logZ, (z, row) => {
      if (batch.targets[first + row]! < 0) return 0;
      return parts.reduce((sum, { chosen }) => sum + chosen[row]!, 0) - z;
    });
    this.#backend.upload(buffers.logProb_T + 4 * first, logProb);
    this.#backend.upload(buffers.logZ_T + 4 * first, Float32Array.from(logZ));
    if (gradient === undefined) return;
    const { weights, zLoss } = gradient;
    const { shift } = parts[ranks.rank]!;
    const counting = countingWeights(batch, { first, rows, weights });
    const factors = counting.map((weight, row) =>
      weight * (1 + 2 * zLoss * logZ[row]!) * Math.exp(shift[row]! - logZ[row]!)
    );
    this.#backend.upload(buffers.sum_C, factors);
    this.#backend.upload(buffers.chosen_C, counting);
  }

  /** What the ranks tell each other of rows, by rank. */
  #told(batch: PlacedBatch, { first, rows, gradient }: ScoredRows) {
    const { buffers, ranks, vocab } = this.#options;
    this.#backend.kernels.score_part({
      exponentials: gradient === undefined ? 0 : buffers.logits_CV,
      shift: buffers.shift_C,
      sum: buffers.sum_C,
      chosen: buffers.chosen_C,
      logits: buffers.logits_CV,
      targets: batch.targets_T + 4 * first,
      rows,
      vocab,
    });
    const told = new Float32Array(TOLD * rows * ranks.size);
    const of = (rank: number, which: number) => {
      const begin = (TOLD * rank + which) * rows;
      return told.subarray(begin, begin + rows);
    };
    this.#backend.download(of(ranks.rank, 0), buffers.shift_C);
    this.#backend.download(of(ranks.rank, 1), buffers.sum_C);
    this.#backend.download(of(ranks.rank, 2), buffers.chosen_C);
    ranks.allGather(told);
    return Array.from({ length: ranks.size }, (_, rank) => ({
      ...{ shift: of(rank, 0), sum: of(rank, 1), chosen: of(rank, 2) },
    }));
  }
}
