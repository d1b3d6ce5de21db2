/**
 * Which source, and which of its windows, the k-th sequence of a run is: a closed formula, so that
 * any step is found without the ones before it.
 *
 * Sequences are dealt in blocks. Up to the end of block b, source i has had
 * `round(W_i n) - round(W_(i-1) n)` of the n sequences, where W are the running sums of the weights:
 * at most one from its exact share. Inside a block its sequences are spread evenly.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";

/** A source in a mixture. */
export interface MixtureShare {
  /** What messages call it. */
  readonly name: string;
  /** Its share of the sequences; all of them add up to 1. */
  readonly weight: number;
}

/** One sequence of a mixture. */
export interface Draw {
  /** Index of the source. */
  readonly source: number;
  /** How many sequences the source has given before. */
  readonly index: number;
}

/** Blocks are no longer than this, which bounds how small a weight can be. */
const LONGEST_BLOCK = 2 ** 20;

/**
 * Deals the sequences of a run to its sources by their weights, in blocks, so that every stretch of it has
 * each source's share.
 */
export class Mixture {
  /** Sequences of a block. */
  readonly block: number;
  /** Running sums of the weights; the last is 1. */
  readonly #sums: readonly number[];
  #dealt = -1;
  #sources = new Uint32Array(0);
  #ranks = new Uint32Array(0);

  /** Makes a mixture. @throws {ConfigError} Where a weight is too small to be dealt. */
  constructor(shares: readonly MixtureShare[]) {
    const smallest = shares.reduce((a, b) => (b.weight < a.weight ? b : a));
    // Two sequences or more of each source in a block, so that rounding cannot take one back.
    const block = Math.ceil(2 / smallest.weight);
    if (!(block <= LONGEST_BLOCK)) {
      throw new ConfigError(
        `Cannot mix the data: ${quotedPath(smallest.name)} has ${smallest.weight} of the weight, ` +
          `at least ${2 / LONGEST_BLOCK} was wanted`,
      );
    }
    this.block = block;
    let sum = 0;
    const sums = shares.map(({ weight }) => sum += weight);
    sums[sums.length - 1] = 1;
    this.#sums = sums;
  }

  /** How many of the first `blocks` blocks' sequences are of a source. */
  before(blocks: number, source: number): number {
    const upTo = (i: number) => i < 0 ? 0 : Math.floor(this.#sums[i]! * blocks * this.block + 0.5);
    return upTo(source) - upTo(source - 1);
  }

  /** The k-th sequence, from 0. */
  at(k: number): Draw {
    const block = Math.floor(k / this.block);
    if (block !== this.#dealt) this.#deal(block);
    const place = k - block * this.block;
    const source = this.#sources[place]!;
    return { source, index: this.before(block, source) + this.#ranks[place]! };
  }

  /** Orders the sequences of a block by the time at which each is due: (rank + 1/2) / quota. */
  #deal(block: number): void {
    const due: { source: number; rank: number; time: number }[] = [];
    for (let source = 0; source < this.#sums.length; source++) {
      const quota = this.before(block + 1, source) - this.before(block, source);
      for (let rank = 0; rank < quota; rank++) {
        due.push({ source, rank, time: (rank + 0.5) / quota });
      }
    }
    due.sort((a, b) => a.time - b.time || a.source - b.source);
    this.#sources = Uint32Array.from(due, ({ source }) => source);
    this.#ranks = Uint32Array.from(due, ({ rank }) => rank);
    this.#dealt = block;
  }
}
