/**
 * Data parallelism: every replica computes the gradients of its share of a batch, and all of them
 * add theirs up.
 *
 * Gradients travel in buckets, as in PyTorch's DistributedDataParallel (Li et al. 2020,
 * arXiv:2006.15704, section 3.2.3): large enough that messages cost little, small enough that one is
 * on its way while the next is still being computed. Buckets go from the last parameter to the
 * first, the order in which a backward pass finishes them, and start in that order alone, so that
 * all replicas make the same calls whoever is ready first.
 *
 * Where replicas share out what they own (ZeRO), the sum goes in two steps, as between PaLM's pods
 * (Chowdhery et al. 2022, arXiv:2204.02311, section 4.1): a bucket is reduce-scattered over the shard
 * axis, inside the pod, and each rank's part of it all-reduced over the data axis, between pods.
 *
 * The sum of each element is the tree over the replicas of `lib/comm/tree_sum.ts`, first over the
 * shard axis, then over the data axis; buckets do not change a bit of it. With a shard axis of a power
 * of two that is the tree over all replicas, so that sharing out changes no bit either.
 *
 * Bytes that a rank sends for B bytes of gradients over D replicas of S shards: 2 B (D-1)/D without
 * shards, else B (S-1)/S and 2 (D-1)/D of the part that it owns, which is about B/S.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { Communicator, Handle } from "../comm/communicator.ts";
import type { Parameter } from "../model/training/trainable.ts";
import { bucketsOf, ordered, type OrderedBucket, type Segment } from "./buckets.ts";
import { startInPieces } from "./in_pieces.ts";
import type { Ownership } from "./partition.ts";

/**
 * Buckets that may be on their way at least, and bytes that more of them may take: a backward pass that
 * is faster than the link must not wait for it. What they take in memory is known before.
 */
const BUCKETS_IN_FLIGHT = 4;
const MORE_IN_FLIGHT_BYTES = 64 * 2 ** 20;

/** Takes what a rank has of the sum: by default it is written where the gradients were. */
export type SumTaker = (
  values: Float32Array<ArrayBuffer>,
  at: { readonly bucket: number; readonly segments: readonly Segment[] },
) => void;

/** What gradients are added up with. */
export interface GradientReducerOptions {
  /** The parameters, in the same order on every replica. */
  readonly parameters: readonly Pick<Parameter, "count" | "grad">[];
  /** Places of those that are added up, ascending. @default {all} */
  readonly indices?: readonly number[] | undefined;
  /** The replicas; where ownership is shared out, those that own the same: axis `data` of a mesh. */
  readonly replicas: Communicator;
  /** Among whom ownership is shared out. */
  readonly shard?: Pick<Ownership, "ranks" | "partition"> | undefined;
  /** Bytes of a bucket. @default {DEFAULT_BUCKET_BYTES} */
  readonly bucketBytes?: number | undefined;
  /** Takes the sums. */
  readonly take?: SumTaker | undefined;
  /**
   * Whether buckets leave as soon as they are ready, and not all of them in `finish`: without, what
   * overlap hides can be measured. Gradients must keep their memory until then. @default {true}
   */
  readonly overlap?: boolean | undefined;
}

interface Travelling {
  readonly values: Float32Array<ArrayBuffer>;
  /** The part that is this rank's. */
  readonly own: Float32Array<ArrayBuffer>;
  /** The reduction over the shard axis, or over the data axis once that has begun. */
  handle: Handle<unknown>;
  /** Whether the last reduction of the two has begun. */
  last: boolean;
  /** Whether the sum was taken. */
  taken: boolean;
}

/** Memory that buckets are put together in: bucket k takes the k-th in turn. */
export function stagingElements(buckets: readonly { readonly elements: number }[]): number[] {
  const total = (sizes: readonly number[]) => sizes.reduce((sum, size) => sum + size, 0);
  let sizes = inTurns(buckets, Math.min(BUCKETS_IN_FLIGHT, buckets.length));
  const most = 4 * total(sizes) + MORE_IN_FLIGHT_BYTES;
  for (let turns = sizes.length + 1; turns <= buckets.length; turns++) {
    const more = inTurns(buckets, turns);
    if (4 * total(more) > most) break;
    sizes = more;
  }
  return sizes;
}

/** The largest bucket of each turn. */
function inTurns(buckets: readonly { readonly elements: number }[], turns: number): number[] {
  const sizes = new Array<number>(turns).fill(0);
  buckets.forEach(({ elements }, at) => {
    sizes[at % turns] = Math.max(sizes[at % turns]!, elements);
  });
  return sizes;
}

/** Adds up the gradients of all replicas, in the backend's memory. With one replica it does nothing. */
export class GradientReducer {
  readonly #backend: Pick<Backend, "download" | "upload">;
  readonly #options: GradientReducerOptions;
  readonly #buckets: readonly OrderedBucket[];
  /** The bucket of every parameter. */
  readonly #bucketAt: readonly number[];
  readonly #alone: boolean;
  /** Elements of each staging. */
  readonly #sizes: readonly number[];
  #staging: readonly Float32Array<ArrayBuffer>[] = [];
  #ready: Set<number> = new Set();
  /** Parameters that lie in the staging of the bucket to be sent next. */
  #fetched: Set<number> = new Set();
  /** Parameters of each bucket that are not ready yet. */
  #missing: number[] = [];
  #travelling: Travelling[] = [];
  /** Buckets whose last reduction has begun. */
  #advanced = 0;

  /** Shares out parameters over buckets; reserves nothing before the first is sent. */
  constructor(backend: Pick<Backend, "download" | "upload">, options: GradientReducerOptions) {
    const { parameters, shard, bucketBytes, replicas } = options;
    this.#backend = backend;
    this.#options = options;
    this.#alone = replicas.size === 1 && (shard?.ranks.size ?? 1) === 1;
    const indices = options.indices ?? [...parameters.keys()];
    const some = indices.map((index) => parameters[index]!);
    this.#buckets = bucketsOf(some, bucketBytes).map((bucket) => (
      { ...bucket, parameters: bucket.parameters.map((place) => indices[place]!) }
    )).map((bucket) => ordered(bucket, { parameters, partition: shard?.partition }));
    this.#sizes = stagingElements(this.#buckets);
    const bucketAt = new Array<number>(parameters.length);
    this.#buckets.forEach((bucket, at) => {
      for (const index of bucket.parameters) bucketAt[index] = at;
    });
    this.#bucketAt = bucketAt;
    this.#reset();
  }

  #reset(): void {
    this.#ready = new Set();
    this.#missing = this.#buckets.map(({ parameters }) => parameters.length);
    this.#travelling = [];
    this.#advanced = 0;
  }

  /**
   * Tells that a parameter's gradient is what it will be in this step; sends its bucket off when all
   * of that and of those before it are. The gradient must not change until `finish`, unless buckets
   * are told in their order: then it is read at once, and its memory may serve others.
   *
   * @throws {TypeError} When it was ready before. @throws {CommunicationError} See `Communicator`.
   */
  ready(index: number): void {
    const at = this.#bucketAt[index];
    if (at === undefined) throw new RangeError(`parameter ${index} of ${this.#bucketAt.length}`);
    if (this.#ready.has(index)) throw new TypeError(`parameter ${index} was ready before`);
    this.#ready.add(index);
    this.#missing[at]!--;
    if (this.#alone || this.#options.overlap === false) return;
    if (at === this.#travelling.length) this.#fetch(at, index);
    while (this.#missing[this.#travelling.length] === 0) this.#sendOff();
    this.#advance();
  }

  /**
   * Moves buckets on that are on their way, as far as they can go without waiting: to be called often
   * while gradients are computed. @throws {CommunicationError} See `Communicator`.
   */
  progress(): void {
    if (this.#travelling.length > 0) this.#advance();
  }

  /** Reads a gradient into the staging of its bucket, which is free once the one before has arrived. */
  #fetch(at: number, index: number): void {
    const turns = this.#sizes.length;
    if (this.#fetched.size === 0 && at >= turns) this.#arrive(at - turns);
    this.#fetched.add(index);
    const values = this.#stagingOf(at);
    const { grad } = this.#options.parameters[index]!;
    for (const { parameter, first, count, at: start } of this.#buckets[at]!.segments.flat()) {
      if (parameter !== index) continue;
      this.#backend.download(values.subarray(start, start + count), grad + 4 * first);
    }
  }

  #stagingOf(at: number): Float32Array<ArrayBuffer> {
    if (this.#staging.length === 0) {
      this.#staging = this.#sizes.map((elements) => new Float32Array(elements));
    }
    const { elements } = this.#buckets[at]!;
    return this.#staging[at % this.#sizes.length]!.subarray(0, elements);
  }

  #sendOff(): void {
    const at = this.#travelling.length;
    const { parameters, lengths } = this.#buckets[at]!;
    for (const index of parameters) if (!this.#fetched.has(index)) this.#fetch(at, index);
    this.#fetched = new Set();
    const values = this.#stagingOf(at);
    const { shard, replicas } = this.#options;
    const travelling = { values, own: values, last: true, taken: false };
    if (shard === undefined) {
      this.#travelling.push({ ...travelling, handle: startInPieces(replicas, values) });
      this.#advanced++;
      return;
    }
    const handle = shard.ranks.startReduceScatter(values, { lengths });
    const { rank } = shard.ranks;
    const start = lengths.slice(0, rank).reduce((sum, length) => sum + length, 0);
    const own = values.subarray(start, start + lengths[rank]!);
    this.#travelling.push({ ...travelling, own, last: false, handle });
  }

  /** Sends parts on over the data axis whose sum over the shard axis is there, in the order of buckets. */
  #advance(atLeast = 0): void {
    const { replicas, shard } = this.#options;
    (shard?.ranks ?? replicas).progress();
    while (this.#advanced < this.#travelling.length) {
      const next = this.#travelling[this.#advanced]!;
      if (this.#advanced < atLeast) next.handle.wait();
      else if (!next.handle.done()) return;
      next.handle = startInPieces(replicas, next.own);
      next.last = true;
      this.#advanced++;
    }
  }

  /** Waits for a bucket and takes its sum. */
  #arrive(at: number): void {
    const travelling = this.#travelling[at]!;
    if (travelling.taken) return;
    this.#advance(at + 1);
    travelling.handle.wait();
    travelling.taken = true;
    const { own } = travelling;
    const segments = this.#buckets[at]!.segments[this.#options.shard?.ranks.rank ?? 0]!;
    const start = segments[0]?.at ?? 0;
    const relative = segments.map((segment) => ({ ...segment, at: segment.at - start }));
    (this.#options.take ?? this.#upload)(own, { bucket: at, segments: relative });
  }

  readonly #upload: SumTaker = (values, { segments }) => {
    for (const { parameter, first, count, at } of segments) {
      const target: Address = this.#options.parameters[parameter]!.grad + 4 * first;
      this.#backend.upload(target, values.subarray(at, at + count));
    }
  };

  /**
   * Sends off what has not been sent, waits for all, and has the sums taken. The next step may begin.
   *
   * @throws {CommunicationError} See `Communicator`.
   */
  finish(): void {
    if (!this.#alone) {
      while (this.#travelling.length < this.#buckets.length) this.#sendOff();
      for (let at = 0; at < this.#travelling.length; at++) this.#arrive(at);
    }
    this.#reset();
  }
}

/** Sequences that one replica takes of a step's batch: the same number each, in the batch's order. */
export function shareOf(
  sequences: number,
  { rank, size }: Pick<Communicator, "rank" | "size">,
): { readonly first: number; readonly count: number } {
  if (sequences % size !== 0) throw new RangeError(`${sequences} sequences for ${size} replicas`);
  const count = sequences / size;
  return { first: rank * count, count };
}
