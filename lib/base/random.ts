/**
 * Counter-based random numbers: a pure function of (seed, stream, counter), so that any draw can be
 * made again without the ones before it, in any order and on any thread.
 *
 * Philox 4x32 with 10 rounds; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
 *
 * @module
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits of the product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** The four 32-bit words that Philox makes of a counter of four words and a key of two. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Which draw of which stream of which seed; each is a non-negative integer up to 2^53. */
export interface Draw {
  /** The run's seed. */
  readonly seed: number;
  /** Which consumer: a sequence, a layer, a tensor. @default {0} */
  readonly stream?: number | undefined;
  /** Which draw of that stream. */
  readonly counter: number;
}

/** A uniform double in [0, 1) with 53 random bits. */
export function uniform(draw: Draw): number {
  const stream = draw.stream ?? 0;
  const [high, low] = philox4x32(
    [word(draw.counter, 0), word(draw.counter, 1), word(stream, 0), word(stream, 1)],
    [word(draw.seed, 0), word(draw.seed, 1)],
  );
  return ((high >>> 5) * 0x4000000 + (low >>> 6)) / 0x20000000000000;
}

/** The low or the high 32 bits of an integer up to 2^53. */
function word(value: number, index: 0 | 1): number {
  return index === 0 ? value >>> 0 : Math.floor(value / 0x100000000) >>> 0;
}
