/**
 * Keyed permutations: shuffles of any length whose every entry is computed on its own, so that no
 * order is stored and the millionth draw costs as much as the first.
 *
 * @module
 */

import { philox4x32 } from "../base/random.ts";

const ROUNDS = 6;
const TWO_32 = 2 ** 32;

/** What a permutation is drawn from: the same values give the same order on every machine. */
export interface PermutationKey {
  /** Seed of the run, an integer from 0 to 2^53 - 1. */
  readonly seed: number;
  /** What is shuffled, an integer below 2^32: different ones are independent. */
  readonly stream: number;
  /** How often it was shuffled before, an integer below 2^32. */
  readonly epoch: number;
}

/**
 * A permutation of 0 … length - 1: a Feistel network over the next even number of bits, walked along
 * its cycle until it lands inside (Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
 *
 * @example
 * ```ts
 * const order = new KeyedPermutation(5, { seed: 1, stream: 0, epoch: 0 });
 * console.assert(new Set([0, 1, 2, 3, 4].map((i) => order.at(i))).size === 5);
 * ```
 */
export class KeyedPermutation {
  /** How many entries it has. */
  readonly length: number;
  readonly #half: number;
  readonly #key: readonly [number, number];
  readonly #stream: number;
  readonly #epoch: number;

  /** Opens the permutation; `length` is an integer from 1 to 2^52. */
  constructor(length: number, { seed, stream, epoch }: PermutationKey) {
    if (!Number.isSafeInteger(length) || length < 1 || length > 2 ** 52) {
      throw new RangeError(`Cannot permute ${length} things: a whole number up to 2^52 was wanted`);
    }
    this.length = length;
    const bits = Math.max(2, Math.ceil(Math.log2(length)));
    this.#half = 2 ** Math.ceil(bits / 2);
    this.#key = [seed % TWO_32, Math.floor(seed / TWO_32)];
    this.#stream = stream;
    this.#epoch = epoch;
  }

  /** Which thing stands at a place. */
  at(place: number): number {
    if (!Number.isInteger(place) || place < 0 || place >= this.length) {
      throw new RangeError(`Cannot take place ${place} of a permutation of ${this.length}`);
    }
    let value = this.#encrypt(place);
    // The domain has less than 4 times as many values (16 for the shortest), so the walk is short.
    while (value >= this.length) value = this.#encrypt(value);
    return value;
  }

  #encrypt(value: number): number {
    let left = Math.floor(value / this.#half);
    let right = value % this.#half;
    for (let round = 0; round < ROUNDS; round++) {
      const [word] = philox4x32([right, round, this.#stream, this.#epoch], this.#key);
      const mixed = (left ^ (word & (this.#half - 1))) >>> 0;
      left = right;
      right = mixed;
    }
    return left * this.#half + right;
  }
}
