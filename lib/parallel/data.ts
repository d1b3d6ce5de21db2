/**
 * Data parallelism: every replica computes the gradients of its share of a batch, and all of them
 * add theirs up.
 *
 * Gradients travel in buckets, as in PyTorch's DistributedDataParallel (Li et al. 2020,
 * arXiv:2006.15704, section 3.2.3): large enough that messages cost little, small enough that one is
 * on its way while the next is still being computed. Buckets go from the last parameter to the
 * first, the order in which a backward pass finishes them, and start in that order alone, so that
 * all replicas make the same calls whoever is ready first. The sum of each element is the tree over
 * the replicas of `lib/comm/tree_sum.ts`; buckets do not change a bit of it.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { Communicator, Handle } from "../comm/communicator.ts";
import type { Parameter } from "../model/training/trainable.ts";

/** PyTorch's size of a bucket. */
export const DEFAULT_BUCKET_BYTES: number = 25 * 2 ** 20;

/** Parameters whose gradients travel together. */
export interface Bucket {
  /** Their places in the list of parameters, in the order of travel. */
  readonly parameters: readonly number[];
  /** Elements of all of them. */
  readonly elements: number;
}

/**
 * Fills buckets from the last parameter to the first; one is full before it exceeds `bucketBytes`,
 * and a parameter that is larger than that has one of its own.
 */
export function bucketsOf(
  parameters: readonly Pick<Parameter, "count">[],
  bucketBytes: number = DEFAULT_BUCKET_BYTES,
): Bucket[] {
  const buckets: { parameters: number[]; elements: number }[] = [];
  for (let index = parameters.length - 1; index >= 0; index--) {
    const { count } = parameters[index]!;
    const last = buckets.at(-1);
    if (last === undefined || 4 * (last.elements + count) > bucketBytes) {
      buckets.push({ parameters: [index], elements: count });
    } else {
      last.parameters.push(index);
      last.elements += count;
    }
  }
  return buckets;
}

/** What gradients are added up with. */
export interface GradientReducerOptions {
  /** The parameters, in the same order on every replica. */
  readonly parameters: readonly Pick<Parameter, "count" | "grad">[];
  /** The replicas: `replicas` of a mesh. */
  readonly replicas: Communicator;
  /** Bytes of a bucket. @default {DEFAULT_BUCKET_BYTES} */
  readonly bucketBytes?: number;
}

interface Travelling {
  readonly bucket: Bucket;
  readonly values: Float32Array<ArrayBuffer>;
  readonly handle: Handle<void>;
}

/** Adds up the gradients of all replicas, in the backend's memory. With one replica it does nothing. */
export class GradientReducer {
  readonly #backend: Pick<Backend, "download" | "upload">;
  readonly #options: GradientReducerOptions;
  readonly #buckets: readonly Bucket[];
  /** The bucket of every parameter. */
  readonly #bucketAt: readonly number[];
  #ready: Set<number> = new Set();
  /** Parameters of each bucket that are not ready yet. */
  #missing: number[] = [];
  #travelling: Travelling[] = [];

  /** Shares out parameters over buckets; reserves nothing yet. */
  constructor(backend: Pick<Backend, "download" | "upload">, options: GradientReducerOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#buckets = bucketsOf(options.parameters, options.bucketBytes);
    const bucketAt = new Array<number>(options.parameters.length);
    this.#buckets.forEach(({ parameters }, at) => {
      for (const index of parameters) bucketAt[index] = at;
    });
    this.#bucketAt = bucketAt;
    this.#reset();
  }

  #reset(): void {
    this.#ready = new Set();
    this.#missing = this.#buckets.map(({ parameters }) => parameters.length);
    this.#travelling = [];
  }

  /**
   * Tells that a parameter's gradient is what it will be in this step; sends its bucket off when all
   * of that and of those before it are. The gradient must not change until `finish`.
   *
   * @throws {TypeError} When it was ready before. @throws {CommunicationError} See `Communicator`.
   */
  ready(index: number): void {
    const at = this.#bucketAt[index];
    if (at === undefined) throw new RangeError(`parameter ${index} of ${this.#bucketAt.length}`);
    if (this.#ready.has(index)) throw new TypeError(`parameter ${index} was ready before`);
    this.#ready.add(index);
    this.#missing[at]!--;
    if (this.#options.replicas.size === 1) return;
    while (this.#missing[this.#travelling.length] === 0) this.#sendOff();
    this.#options.replicas.progress();
  }

  #sendOff(): void {
    const bucket = this.#buckets[this.#travelling.length]!;
    const values = new Float32Array(bucket.elements);
    this.#eachOf(bucket, values, (part, grad) => this.#backend.download(part, grad));
    const handle = this.#options.replicas.startAllReduce(values);
    this.#travelling.push({ bucket, values, handle });
  }

  #eachOf(
    { parameters }: Bucket,
    values: Float32Array<ArrayBuffer>,
    visit: (part: Float32Array<ArrayBuffer>, grad: Parameter["grad"]) => void,
  ): void {
    let start = 0;
    for (const index of parameters) {
      const { count, grad } = this.#options.parameters[index]!;
      visit(values.subarray(start, start += count), grad);
    }
  }

  /**
   * Sends off what has not been sent, waits for all, and writes the sums where the gradients were.
   * The next step may begin.
   *
   * @throws {CommunicationError} See `Communicator`.
   */
  finish(): void {
    if (this.#options.replicas.size > 1) {
      while (this.#travelling.length < this.#buckets.length) this.#sendOff();
      for (const { bucket, values, handle } of this.#travelling) {
        handle.wait();
        this.#eachOf(bucket, values, (part, grad) => this.#backend.upload(grad, part));
      }
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
