/**
 * The shared memory in which the ranks of one machine meet, workers or processes: bells that wake, one ring of bytes from
 * each rank to each other, and one place for the reason why the work ended.
 *
 * @module
 */

/** The memory, as it is posted to a worker; that of processes is a file that each has mapped. */
export interface SharedMemory {
  /** How many ranks meet. */
  readonly size: number;
  /** Bytes of one ring, a power of two. */
  readonly ringBytes: number;
  /** Words: abort, reason length, bells, ended, heads and tails of rings; then the reason. */
  readonly control: ArrayBufferLike;
  /** The rings, that from rank f to rank t at (f · size + t) · ringBytes. */
  readonly rings: ArrayBufferLike;
  /** Where in it the rings begin. @default {0} */
  readonly ringsAt?: number;
}

const REASON_BYTES = 4096;
const MOST_RING_BYTES = 2 ** 20;
const LEAST_RING_BYTES = 2 ** 12;
/** All rings together where the caller says nothing; the system gives the pages that are used. */
const ALL_RING_BYTES = 2 ** 26;

const ABORTED_BY = 0;
const REASON_LENGTH = 1;
const BELLS = 2;

function wordsOf(size: number): number {
  return BELLS + 2 * size + 2 * size * size;
}

/** Bytes that the parts of the memory of so many ranks have. */
export interface MemorySizes {
  /** Of the words and the reason. */
  readonly control: number;
  /** Of one ring. */
  readonly ring: number;
  /** Of all rings. */
  readonly rings: number;
}

/** What memory for so many ranks takes. @throws {RangeError} For a ring that is no power of two from 64 on. */
export function memorySizes(size: number, ringBytes?: number): MemorySizes {
  let ring = ringBytes ?? MOST_RING_BYTES;
  if (ringBytes === undefined) {
    while (ring > LEAST_RING_BYTES && ring * size * size > ALL_RING_BYTES) ring /= 2;
  }
  if (!Number.isInteger(Math.log2(ring)) || ring < 64 || ring > 2 ** 30) {
    throw new RangeError(`a ring of ${ring} bytes: powers of two from 64 to 2 ** 30`);
  }
  return { control: 4 * wordsOf(size) + REASON_BYTES, ring, rings: ring * size * size };
}

/** Memory for so many ranks. @throws {RangeError} For a ring that is no power of two from 64 on. */
export function sharedMemory(size: number, ringBytes?: number): SharedMemory {
  const { control, ring, rings } = memorySizes(size, ringBytes);
  return {
    size,
    ringBytes: ring,
    control: new SharedArrayBuffer(control),
    rings: new SharedArrayBuffer(rings),
  };
}

/** How a rank sleeps on a word of the control memory, by its index, and is woken. */
export interface Bells {
  /** Sleeps until the word is another than `seen` and is woken, at most so long. */
  sleep(word: number, options: { readonly seen: number; readonly atMostMs: number }): void;
  /** Wakes who sleeps on it. */
  wake(word: number): void;
}

/** Bells between the threads of one process. */
function bellsOf(words: Int32Array): Bells {
  return {
    sleep: (word, { seen, atMostMs }) => void Atomics.wait(words, word, seen, atMostMs),
    wake: (word) => void Atomics.notify(words, word),
  };
}

/** One ring, seen from either end; heads and tails count bytes modulo 2³². */
export class Ring {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #head: number;

  /** `head` is the index of its two words. */
  constructor(bytes: Uint8Array, words: Int32Array, options: { readonly head: number }) {
    this.#bytes = bytes;
    this.#words = words;
    this.#head = options.head;
  }

  #used(): number {
    return (Atomics.load(this.#words, this.#head + 1) - Atomics.load(this.#words, this.#head)) >>>
      0;
  }

  /** Writes as much as there is room for and returns how many bytes that was. */
  write(source: Uint8Array): number {
    const capacity = this.#bytes.length;
    const count = Math.min(source.length, capacity - this.#used());
    if (count === 0) return 0;
    const at = (Atomics.load(this.#words, this.#head + 1) >>> 0) & (capacity - 1);
    const first = Math.min(count, capacity - at);
    this.#bytes.set(source.subarray(0, first), at);
    this.#bytes.set(source.subarray(first, count), 0);
    // Sequentially consistent: the bytes are there for whoever sees the new tail.
    Atomics.add(this.#words, this.#head + 1, count);
    return count;
  }

  /** Reads as much as there is, at most the target's length, and returns how many bytes that was. */
  read(target: Uint8Array): number {
    const capacity = this.#bytes.length;
    const count = Math.min(target.length, this.#used());
    if (count === 0) return 0;
    const at = (Atomics.load(this.#words, this.#head) >>> 0) & (capacity - 1);
    const first = Math.min(count, capacity - at);
    target.set(this.#bytes.subarray(at, at + first));
    target.set(this.#bytes.subarray(0, count - first), first);
    Atomics.add(this.#words, this.#head, count);
    return count;
  }
}

/** The meeting place as the ranks and the one who started them see it. */
export class MeetingPlace {
  /** How many ranks meet. */
  readonly size: number;
  readonly #memory: SharedMemory;
  readonly #words: Int32Array;
  readonly #bells: Bells;

  /** Opens the memory, in any thread; processes have bells of their own. */
  constructor(memory: SharedMemory, bells?: Bells) {
    this.size = memory.size;
    this.#memory = memory;
    this.#words = new Int32Array(memory.control, 0, wordsOf(memory.size));
    this.#bells = bells ?? bellsOf(this.#words);
  }

  /** The ring from one rank to another. */
  ring(from: number, to: number): Ring {
    const { size, ringBytes, rings, ringsAt = 0 } = this.#memory;
    const pair = from * size + to;
    const bytes = new Uint8Array(rings, ringsAt + pair * ringBytes, ringBytes);
    return new Ring(bytes, this.#words, { head: BELLS + 2 * size + 2 * pair });
  }

  /** How often a rank's bell was rung. */
  rung(rank: number): number {
    return Atomics.load(this.#words, BELLS + rank);
  }

  /** Wakes a rank. */
  wake(rank: number): void {
    Atomics.add(this.#words, BELLS + rank, 1);
    this.#bells.wake(BELLS + rank);
  }

  /** Sleeps until a rank's bell is rung more often than `rung`, at most so many milliseconds. */
  sleep(rank: number, options: { readonly rung: number; readonly atMostMs: number }): void {
    const { rung: seen, atMostMs } = options;
    this.#bells.sleep(BELLS + rank, { seen, atMostMs });
  }

  /** Marks a rank as one that sends nothing more, and wakes the others. */
  end(rank: number): void {
    Atomics.store(this.#words, BELLS + this.size + rank, 1);
    for (let other = 0; other < this.size; other++) this.wake(other);
  }

  /** Whether a rank sends nothing more. */
  ended(rank: number): boolean {
    return Atomics.load(this.#words, BELLS + this.size + rank) === 1;
  }

  #reason(): Uint8Array {
    return new Uint8Array(this.#memory.control, 4 * wordsOf(this.size), REASON_BYTES);
  }

  /** Ends everybody's work; only the first reason counts. Returns whether it was this one. */
  abort(rank: number, reason: string): boolean {
    // Claimed by -1 first: nobody reads a reason that is being written.
    if (Atomics.compareExchange(this.#words, ABORTED_BY, 0, -1) !== 0) return false;
    // TextEncoder may not write into shared memory.
    const bytes = new TextEncoder().encode(reason).subarray(0, REASON_BYTES);
    this.#reason().set(bytes);
    Atomics.store(this.#words, REASON_LENGTH, bytes.length);
    Atomics.store(this.#words, ABORTED_BY, rank + 1);
    for (let other = 0; other < this.size; other++) this.wake(other);
    return true;
  }

  /** Who ended the work and why, or nothing. */
  aborted(): { readonly rank: number; readonly reason: string } | undefined {
    const rank = Atomics.load(this.#words, ABORTED_BY) - 1;
    if (rank < 0) return undefined;
    const bytes = this.#reason().slice(0, Atomics.load(this.#words, REASON_LENGTH));
    return { rank, reason: new TextDecoder().decode(Uint8Array.from(bytes)) };
  }
}
