/**
 * Scores of rows whose vocabulary ranks with a GPU each share: what they tell each other goes from GPU to
 * GPU, and is put together there, by the formulas of `vocabulary_scores.ts`.
 *
 * @module
 */

import type { Backend } from "../../backend/backend.ts";
import type { DeviceRanks } from "../../comm/device/ranks.ts";
import type { PlacedBatch } from "./batch.ts";
import {
  countingWeights,
  type ScoredRows,
  type VocabularyScores,
  type VocabularyScoresOptions,
} from "./vocabulary_scores.ts";

/** Puts scores together on the GPU. */
export class DeviceScores implements VocabularyScores {
  readonly #backend: Backend;
  readonly #options: VocabularyScoresOptions<DeviceRanks>;

  /** Works with memory that was planned. */
  constructor(backend: Backend, options: VocabularyScoresOptions<DeviceRanks>) {
    this.#backend = backend;
    this.#options = options;
  }

  /** See {@linkcode VocabularyScores.score}. */
  score(batch: PlacedBatch, { first, rows, gradient }: ScoredRows): void {
    const { ranks, vocab, buffers } = this.#options;
    const { told_N3C, logits_CV: logits, counts_C: counts, sum_C, chosen_C } = buffers;
    const own = told_N3C + 4 * 3 * rows * ranks.rank;
    this.#backend.kernels.score_part({
      exponentials: gradient === undefined ? 0 : logits,
      ...{ shift: own, sum: own + 4 * rows, chosen: own + 8 * rows },
      ...{ logits, targets: batch.targets_T + 4 * first, rows, vocab },
    });
    const lengths = new Array<number>(ranks.size).fill(3 * rows);
    const told = ranks.allGather({ data: told_N3C, lengths });
    // What does not depend on other ranks goes up while the numbers travel.
    const targets = batch.targets.subarray(first, first + rows);
    this.#backend.upload(counts, Int32Array.from(targets, (target) => Number(target >= 0)));
    if (gradient !== undefined) {
      this.#backend.upload(chosen_C, countingWeights(batch, { first, rows, ...gradient }));
    }
    told.join();
    this.#backend.link!.vocabularyTotals({
      ...{ told: told_N3C, ranks: ranks.size, rank: ranks.rank, rows, counts },
      logProb: buffers.logProb_T + 4 * first,
      logZ: buffers.logZ_T + 4 * first,
      gradient: gradient && { weights: chosen_C, zLoss: gradient.zLoss, factors: sum_C },
    });
  }
}
