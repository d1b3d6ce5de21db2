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
import { bucketsOf, ordered, type OrderedBucket, type Segment } from "./buckets.ts";
import { type BucketSum, type DeviceOwnGradients, ownSegments } from "./device_own_gradients.ts";
import type { Partition } from "./partition.ts";

/** Bytes of a bucket, as PyTorch's DistributedDataParallel has them for GPUs. */
export const DEVICE_BUCKET_BYTES: number = 25 * 2 ** 20;

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
  /**
   * Takes sums where each rank keeps its own part of gradients alone: others then take a gradient's memory
   * once it is ready, so that it is put into its bucket by kernels' own queue, in the order of travel.
   * By default sums are written where the gradients were.
   */
  readonly own?: Pick<DeviceOwnGradients, "take"> | undefined;
}

/** Elements of the GPU in which buckets are put together: one after the other, or two in turn. */
export function deviceStagingElements(
  buckets: readonly { readonly elements: number }[],
  { partitioned }: { readonly partitioned: boolean },
): number[] {
  const turns = Math.min(partitioned ? 2 : 1, buckets.length);
  return Array.from(
    { length: turns },
    (_, turn) => Math.max(...buckets.filter((_, at) => at % turns === turn).map((b) => b.elements)),
  );
}

/** Elements of the parts of other ranks that arrive to be added, over the shard axis and the data axis. */
export function deviceRoomElements(
  buckets: readonly Pick<OrderedBucket, "elements" | "lengths">[],
  { shards, shardRank, replicas }: {
    readonly shards: number;
    readonly shardRank: number;
    readonly replicas: number;
  },
): { readonly shard: number; readonly data: number } {
  const parts = buckets.map(({ lengths, elements }) => shards > 1 ? lengths[shardRank]! : elements);
  const most = Math.max(0, ...parts);
  return {
    shard: shards > 1 ? most * (shards - 1) : 0,
    data: replicas > 1 ? Math.ceil(most / replicas) * (replicas - 1) : 0,
  };
}

/** Adds up the gradients of all replicas where they are. */
export class DeviceGradientReducer {
  readonly #backend: Pick<Backend, "alloc" | "free" | "copy">;
  readonly #options: DeviceReducerOptions;
  readonly #buckets: readonly OrderedBucket[];
  /** The bucket of every parameter. */
  readonly #bucketAt: ReadonlyMap<number, number>;
  /** Where buckets are put together, in turns: the queue between ranks keeps their order. */
  readonly #stagings: readonly Address[];
  /** The last bucket of each staging. */
  #travelling: (DeviceHandle | undefined)[] = [];
  /** Parameters that lie in the staging of the bucket to be sent next. */
  #fetched: Set<number> = new Set();
  #ready: Set<number> = new Set();
  /** Parameters of each bucket that are not ready yet. */
  #missing: number[] = [];
  #sent = 0;
  #last: DeviceHandle | undefined;

  /** Takes the memory of {@linkcode deviceStagingElements} and {@linkcode deviceRoomElements}. */
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
    const partitioned = options.own !== undefined;
    this.#stagings = deviceStagingElements(this.#buckets, { partitioned })
      .map((elements) => backend.alloc(4 * elements));
    const { replicas } = options;
    const room = deviceRoomElements(this.#buckets, {
      ...{ shards: shard?.ranks.size ?? 1, shardRank: shard?.ranks.rank ?? 0 },
      replicas: replicas?.size ?? 1,
    });
    shard?.ranks.reserve(4 * room.shard);
    replicas?.reserve(4 * room.data);
    this.#reset();
  }

  #reset(): void {
    this.#ready = new Set();
    this.#missing = this.#buckets.map(({ parameters }) => parameters.length);
    this.#sent = 0;
    this.#last = undefined;
    this.#travelling = [];
    this.#fetched = new Set();
  }

  /**
   * Tells that kernels which make a parameter's gradient have been enqueued, all of this step; sends its
   * bucket off when that holds for all of it and of those before it. The gradient must not change until
   * `finish`, unless each rank keeps its own part alone and buckets are told in their order.
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
    if (this.#options.own !== undefined && at === this.#sent) this.#fetch(index);
    while (this.#missing[this.#sent] === 0) this.#sendOff();
  }

  /** Nothing has to be moved on: the GPU does that by itself. Only the emulated one goes on when looked at. */
  progress(): void {
    this.#last?.done();
  }

  get #staging(): Address {
    return this.#stagings[this.#sent % this.#stagings.length]!;
  }

  /** Puts a gradient into the bucket to be sent next, whose staging is free once the one before has gone. */
  #fetch(index: number): void {
    if (this.#fetched.size === 0) {
      this.#travelling[this.#sent % this.#stagings.length]?.join();
    }
    this.#fetched.add(index);
    const segments = this.#buckets[this.#sent]!.segments.flat();
    this.#copyIn(segments.filter(({ parameter }) => parameter === index));
  }

  #copyIn(segments: readonly Segment[]): void {
    for (const { parameter, first, count, at } of segments) {
      const { grad } = this.#options.parameters[parameter]!;
      this.#backend.copy(this.#staging + 4 * at, grad + 4 * first, 4 * count);
    }
  }

  #sendOff(): void {
    const { replicas, shard, own } = this.#options;
    const bucket = this.#buckets[this.#sent]!;
    const ranks = shard?.ranks ?? replicas!;
    if (own !== undefined) {
      for (const index of bucket.parameters) if (!this.#fetched.has(index)) this.#fetch(index);
      this.#fetched = new Set();
    }
    this.#last = ranks.enqueue(() => {
      if (own === undefined) this.#copyIn(bucket.segments.flat());
      const rank = shard?.ranks.rank ?? 0;
      const { lengths } = bucket;
      if (shard !== undefined) shard.ranks.reduceScatter({ data: this.#staging, lengths });
      const first = lengths.slice(0, rank).reduce((sum, length) => sum + length, 0);
      const at = this.#staging + 4 * first;
      replicas?.allReduce(at, lengths[rank]!);
      this.#leave({ bucket: this.#sent, at, segments: ownSegments(bucket, rank) });
    });
    this.#travelling[this.#sent % this.#stagings.length] = this.#last;
    this.#sent++;
  }

  /** Leaves the sum of a bucket where it is wanted. */
  #leave(sum: BucketSum): void {
    const { own, parameters } = this.#options;
    if (own !== undefined) return own.take(sum);
    for (const { parameter, first, count, at } of sum.segments) {
      this.#backend.copy(parameters[parameter]!.grad + 4 * first, sum.at + 4 * at, 4 * count);
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
    for (const staging of this.#stagings) this.#backend.free(staging);
  }
}
