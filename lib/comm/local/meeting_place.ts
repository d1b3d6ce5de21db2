/**
 * The shared memory in which the ranks of one process meet: bells that wake, one ring of bytes from
 * each rank to each other, and one place for the reason why the work ended.
 *
 * @module
 */

/** The memory, as it is posted to a worker. */
export interface SharedMemory {
  /** How many ranks meet. */
  readonly size: number;
  /** Bytes of one ring, a power of two. */
  readonly ringBytes: number;
  /** Words: abort, reason length, bells, ended, heads and tails of rings; then the reason. */
  readonly control: SharedArrayBuffer;
  /** The rings, that from rank f to rank t at (f · size + t) · ringBytes. */
  readonly rings: SharedArrayBuffer;
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

/** Memory for so many ranks. @throws {RangeError} For a ring that is no power of two from 64 on. */
export function sharedMemory(size: number, ringBytes?: number): SharedMemory {
  let bytes = ringBytes ?? MOST_RING_BYTES;
  if (ringBytes === undefined) {
    while (bytes > LEAST_RING_BYTES && bytes * size * size > ALL_RING_BYTES) bytes /= 2;
  }
  if (!Number.isInteger(Math.log2(bytes)) || bytes < 64 || bytes > 2 ** 30) {
    throw new RangeError(`a ring of ${bytes} bytes: powers of two from 64 to 2 ** 30`);
  }
  return {
    size,
    ringBytes: bytes,
    control: new SharedArrayBuffer(4 * wordsOf(size) + REASON_BYTES),
    rings: new SharedArrayBuffer(bytes * size * size),
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

  /** Opens the memory, in any thread. */
  constructor(memory: SharedMemory) {
    this.size = memory.size;
    this.#memory = memory;
    this.#words = new Int32Array(memory.control, 0, wordsOf(memory.size));
  }

  /** The ring from one rank to another. */
  ring(from: number, to: number): Ring {
    const { size, ringBytes, rings } = this.#memory;
    const pair = from * size + to;
    const bytes = new Uint8Array(rings, pair * ringBytes, ringBytes);
    return new Ring(bytes, this.#words, { head: BELLS + 2 * size + 2 * pair });
  }

  /** How often a rank's bell was rung. */
  rung(rank: number): number {
    return Atomics.load(this.#words, BELLS + rank);
  }

  /** Wakes a rank. */
  wake(rank: number): void {
    Atomics.add(this.#words, BELLS + rank, 1);
    Atomics.notify(this.#words, BELLS + rank);
  }

  /** Sleeps until a rank's bell is rung more often than `rung`, at most so many milliseconds. */
  sleep(rank: number, options: { readonly rung: number; readonly atMostMs: number }): void {
    Atomics.wait(this.#words, BELLS + rank, options.rung, options.atMostMs);
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
