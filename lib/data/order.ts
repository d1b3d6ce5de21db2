/**
 * The order of a run's data: which windows of which sources make the batch of a step. A pure function
 * of seed, step and skip list, whatever the number of processes, the size of micro-batches, or where
 * the run was stopped and resumed.
 *
 * @module
 */

import { Mixture, type MixtureShare } from "./mixture.ts";
import { KeyedPermutation } from "./permutation.ts";
import type { BatchRamp } from "./ramp.ts";

/** From a step on, the run's data are this many batches further. */
export interface Skip {
  /** The step, from 0, that gets later data first. */
  readonly step: number;
  /** How many batches (of that step's size) are left out. */
  readonly batches: number;
}

/** A window of a source at its turn. */
export interface Place {
  /** Index of the source. */
  readonly source: number;
  /** How often the source has been seen whole before. */
  readonly epoch: number;
  /** Index of the window among those of its length, from 0. */
  readonly window: number;
}

/** A source as the order sees it. */
export interface OrderedSource extends MixtureShare {
  /** How many windows of a length it has. */
  windows(length: number): number;
}

/** What an order depends on. */
export interface DataOrderOptions {
  /** Seed that every draw and permutation depends on, from 0 to 2^53 - 1. */
  readonly seed: number;
  /** The sources, whose weights add up to 1. */
  readonly sources: readonly OrderedSource[];
  /** Batch sizes by step. */
  readonly ramp: BatchRamp;
}

/** Tells the batch of any step. */
export class DataOrder {
  readonly #options: DataOrderOptions;
  readonly #mixture: Mixture;

  /** Makes an order. @throws {ConfigError} Where a weight is too small to be dealt. */
  constructor(options: DataOrderOptions) {
    this.#options = options;
    this.#mixture = new Mixture(options.sources);
  }

  /** The windows of a step's batch, in order. */
  batch(step: number, skips: readonly Skip[] = []): Place[] {
    const { seqLen, sequences } = this.#options.ramp.at(step);
    const first = this.#firstSequence(step, skips);
    return Array.from({ length: sequences }, (_, i) => this.#place(first + i, seqLen));
  }

  /** Number of the step's first sequence, counted in sequences of its length from the run's start. */
  #firstSequence(step: number, skips: readonly Skip[]): number {
    const { ramp } = this.#options;
    let tokens = ramp.tokensBefore(step);
    for (const skip of skips) {
      if (skip.step > step) continue;
      const size = ramp.at(skip.step);
      tokens += skip.batches * size.sequences * size.seqLen;
    }
    return Math.ceil(tokens / ramp.at(step).seqLen);
  }

  #place(k: number, seqLen: number): Place {
    const { sources, seed } = this.#options;
    const { source, index } = this.#mixture.at(k);
    const windows = sources[source]!.windows(seqLen);
    const epoch = Math.floor(index / windows);
    const order = new KeyedPermutation(windows, { seed, stream: source, epoch });
    return { source, epoch, window: order.at(index % windows) };
  }
}
