/**
 * Adds up the gradients of replicas that have a GPU each, on their GPUs: the buckets, their order and the
 * order of sums are those of `data.ts`, and so are the bits; but gradients never leave the GPUs' memory.
 *
 * A bucket is put together, exchanged, summed and written back on the queue between ranks, while
 * kernels of the backward pass go on; whoever reads the sums is told to begin after the last bucket.
 * Nothing waits on the processor.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { DeviceHandle, DeviceRanks } from "../comm/device/ranks.ts";
import type { Parameter } from "../model/training/trainable.ts";
import { bucketsOf, ordered, type OrderedBucket } from "./buckets.ts";
import type { Partition } from "./partition.ts";

/** Bytes of a bucket, as PyTorch's DistributedDataParallel has them for GPUs. */
const DEVICE_BUCKET_BYTES: number = 25 * 2 ** 20;

/** What gradients are added up with. */
export interface DeviceReducerOptions {
  /** The parameters, in the same order on every replica. */
  readonly parameters: readonly Pick<Parameter, "count" | "grad">[];
  /** Places of those that are added up, ascending. @default {all} */
  readonly indices?: readonly number[] | undefined;
  /** The replicas; where ownership is shared out, those that own the same. */
  readonly replicas: DeviceRanks | undefined;
  /** Among whom ownership is shared out. */
  readonly shard?: { readonly ranks: DeviceRanks; readonly partition: Partition } | undefined;
  /** Bytes of a bucket. @default {DEVICE_BUCKET_BYTES} */
  readonly bucketBytes?: number | undefined;
  /** Whether buckets leave as soon as they are ready. @default {true} */
  readonly overlap?: boolean | undefined;
}

/** Adds up the gradients of all replicas where they are. */
export class DeviceGradientReducer {
  readonly #backend: Pick<Backend, "alloc" | "free" | "copy">;
  readonly #options: DeviceReducerOptions;
  readonly #buckets: readonly OrderedBucket[];
  /** The bucket of every parameter. */
  readonly #bucketAt: ReadonlyMap<number, number>;
  /** Where buckets are put together, one after the other: the queue between ranks keeps their order. */
  readonly #staging: Address;
  #ready: Set<number> = new Set();
  /** Parameters of each bucket that are not ready yet. */
  #missing: number[] = [];
  #sent = 0;
  #last: DeviceHandle | undefined;

  /** Takes memory of the largest bucket. */
  constructor(
    backend: Pick<Backend, "alloc" | "free" | "copy">,
    options: DeviceReducerOptions,
  ) {
    const { parameters, shard, bucketBytes = DEVICE_BUCKET_BYTES } = options;
    this.#backend = backend;
    this.#options = options;
    const indices = options.indices ?? [...parameters.keys()];
    const some = indices.map((index) => parameters[index]!);
    this.#buckets = bucketsOf(some, bucketBytes).map((bucket) => (
      { ...bucket, parameters: bucket.parameters.map((place) => indices[place]!) }
    )).map((bucket) => ordered(bucket, { parameters, partition: shard?.partition }));
    this.#bucketAt = new Map(
      this.#buckets.flatMap(({ parameters }, at) =>
        parameters.map((index) => [index, at] as const)
      ),
    );
    this.#staging = backend.alloc(4 * Math.max(0, ...this.#buckets.map((b) => b.elements)));
    this.#reset();
  }

  #reset(): void {
    this.#ready = new Set();
    this.#missing = this.#buckets.map(({ parameters }) => parameters.length);
    this.#sent = 0;
    this.#last = undefined;
  }

  /**
   * Tells that kernels which make a parameter's gradient have been enqueued, all of this step; sends its
   * bucket off when that holds for all of it and of those before it. The gradient must not change until
   * `finish`.
   *
   * @throws {TypeError} When it was ready before.
   */
  ready(index: number): void {
    const at = this.#bucketAt.get(index);
    if (at === undefined) throw new RangeError(`parameter ${index} is in no bucket`);
    if (this.#ready.has(index)) throw new TypeError(`parameter ${index} was ready before`);
    this.#ready.add(index);
    this.#missing[at]!--;
    if (this.#options.overlap === false) return;
    while (this.#missing[this.#sent] === 0) this.#sendOff();
  }

  /** Nothing has to be moved on: the GPU does that by itself. Only the emulated one goes on when looked at. */
  progress(): void {
    this.#last?.done();
  }

  #sendOff(): void {
    const { replicas, shard } = this.#options;
    const bucket = this.#buckets[this.#sent++]!;
    const ranks = shard?.ranks ?? replicas!;
    this.#last = ranks.enqueue(() => {
      this.#copy(bucket.segments.flat(), (staging, grad, bytes) => {
        this.#backend.copy(staging, grad, bytes);
      });
      const own = shard?.ranks.rank ?? 0;
      if (shard !== undefined) {
        shard.ranks.reduceScatter({ data: this.#staging, lengths: bucket.lengths });
      }
      const first = bucket.lengths.slice(0, own).reduce((sum, length) => sum + length, 0);
      replicas?.allReduce(this.#staging + 4 * first, bucket.lengths[own]!);
      this.#copy(bucket.segments[own]!, (staging, grad, bytes) => {
        this.#backend.copy(grad, staging, bytes);
      });
    });
  }

  #copy(
    segments: OrderedBucket["segments"][number],
    copy: (staging: Address, grad: Address, bytes: number) => void,
  ): void {
    for (const { parameter, first, count, at } of segments) {
      const { grad } = this.#options.parameters[parameter]!;
      copy(this.#staging + 4 * at, grad + 4 * first, 4 * count);
    }
  }

  /** Sends off what has not been sent; kernels that are enqueued from now on begin after all sums. */
  finish(): void {
    while (this.#sent < this.#buckets.length) this.#sendOff();
    this.#last?.join();
    this.#reset();
  }

  /** Gives the memory back. */
  close(): void {
    this.#backend.free(this.#staging);
  }
}
