/**
 * Counter-based random numbers: every number is a pure function of (seed, stream, counter), so that
 * nothing has to be stored to replay it and parallel work needs no order.
 *
 * The generator is Philox 4x32 with ten rounds (Salmon et al. 2011, "Parallel random numbers: as easy
 * as 1, 2, 3"). The seed is its 64-bit key; the 128-bit counter holds the counter in its lower and
 * the stream in its upper half.
 *
 * @module
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_32 = 2 ** 32;

/**
 * Upper 32 bits of the product of two unsigned 32-bit numbers, by halves: no partial sum exceeds 32
 * bits, so that the compiler stays with integers.
 */
function multiplyHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const first = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const second = (Math.imul(aLow, bHigh) + (first & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (first >>> 16) + (second >>> 16)) | 0;
}

/**
 * The Philox 4x32-10 bijection: four random 32-bit words from a counter of four words and a key of
 * two. Source: Salmon et al. 2011, section 4.3.
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  SCRATCH.set(counter);
  encrypt(SCRATCH, key[0], key[1]);
  return [SCRATCH[0]!, SCRATCH[1]!, SCRATCH[2]!, SCRATCH[3]!];
}

/** Where one call of {@linkcode philox4x32} works; no call sees another's words. */
const SCRATCH = new Uint32Array(4);

/** Philox in place, without making anything: a tensor is drawn by millions of calls. */
function encrypt(words: Uint32Array, key0: number, key1: number): void {
  let [x0, x1, x2, x3] = [words[0]! | 0, words[1]! | 0, words[2]! | 0, words[3]! | 0];
  let [k0, k1] = [key0 | 0, key1 | 0];
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, x0);
    const high1 = multiplyHigh(MULTIPLIER_1, x2);
    const low0 = Math.imul(MULTIPLIER_0, x0);
    const low1 = Math.imul(MULTIPLIER_1, x2);
    x0 = high1 ^ x1 ^ k0;
    x1 = low1;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  words[0] = x0;
  words[1] = x1;
  words[2] = x2;
  words[3] = x3;
}

/** Lower and upper 32 bits of a safe non-negative integer. */
function words(value: number, name: string): [number, number] {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(
      `Cannot use ${name} ${value}: it must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}`,
    );
  }
  return [value % TWO_32, Math.floor(value / TWO_32)];
}

/** Double in [0, 1) with 53 random bits from two words. */
function unit(high: number, low: number): number {
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) * 2 ** -53;
}

/**
 * One of 2^53 independent sequences of a seed.
 *
 * @example
 * ```ts
 * const stream = new RandomStream(42, 7);
 * console.assert(stream.uniform(3) === new RandomStream(42, 7).uniform(3));
 * ```
 */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #stream: readonly [number, number];

  /** Opens a stream; seed and stream are integers from 0 to 2^53 - 1. */
  constructor(seed: number, stream: number) {
    this.#key = words(seed, "seed");
    this.#stream = words(stream, "stream");
  }

  /** Four random 32-bit words of a counter (an integer from 0 to 2^53 - 1). */
  bits(counter: number): [number, number, number, number] {
    const [low, high] = words(counter, "counter");
    return philox4x32([low, high, this.#stream[0], this.#stream[1]], this.#key);
  }

  /** Uniform double in [0, 1), a multiple of 2^-53. */
  uniform(counter: number): number {
    const [a, b] = this.bits(counter);
    return unit(a, b);
  }

  /** Double from the standard normal distribution (Box & Muller 1958). */
  normal(counter: number): number {
    const [a, b, c, d] = this.bits(counter);
    // 1 - u lies in (0, 1], where the logarithm is finite.
    return Math.sqrt(-2 * Math.log(1 - unit(a, b))) * Math.cos(2 * Math.PI * unit(c, d));
  }

  /**
   * Fills an array with a piece of an endless row from the normal distribution of mean 0. Elements 2i
   * and 2i + 1 of the row are the two numbers that Box & Muller (1958) make of the words of counter i,
   * so that a tensor costs half as much as by {@linkcode RandomStream.normal}, whose number of counter i
   * is element 2i. `first` is the piece's first element, an even one.
   */
  fillNormal(
    out: Float32Array | Float64Array,
    options: { readonly deviation: number; readonly first?: number },
  ): void {
    const { deviation, first = 0 } = options;
    if (first % 2 !== 0) throw new RangeError(`a piece begins at an even element, not ${first}`);
    const [low, high] = this.#stream;
    const [key0, key1] = this.#key;
    const words = new Uint32Array(4);
    for (let i = 0; i < out.length; i += 2) {
      const counter = (first + i) / 2;
      words[0] = counter;
      words[1] = Math.floor(counter / TWO_32);
      words[2] = low;
      words[3] = high;
      encrypt(words, key0, key1);
      const radius = deviation * Math.sqrt(-2 * Math.log(1 - unit(words[0]!, words[1]!)));
      const angle = 2 * Math.PI * unit(words[2]!, words[3]!);
      out[i] = radius * Math.cos(angle);
      if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
    }
  }
}
