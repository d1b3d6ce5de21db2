/**
 * Bytes that one rank of replicas and shards sends in a step, by formulas.
 *
 * Of B bytes over N ranks: an all-reduce sends 2 B (N-1)/N, reduce-scatter and all-gather half of that.
 * With P parameters in f32 a step sends, over D replicas of N shards and for each micro-batch where their
 * gradients travel one by one:
 *
 * - gradients: 4 P (N-1)/N reduce-scattered over shards, 8 P/N (D-1)/D all-reduced over the data axis;
 * - weights: 4 P (N-1)/N gathered once in stages 1 and 2; in stage 3 about twice for each micro-batch,
 *   so that the stage costs half as much again as data parallelism (Rajbhandari et al. 2020, section 7).
 *
 * Here they are exact, part by part, but for the rows of a tied embedding that travel again
 * (`tied_gradient.ts`): how many depends on the text.
 *
 * @module
 */

import type { Communicator } from "../../lib/comm/communicator.ts";
import { evenParts } from "../../lib/comm/parts.ts";
import { bucketsOf, ordered } from "../../lib/parallel/buckets.ts";
import { type ReduceOrder, takesTurns } from "../../lib/parallel/micro_batches.ts";
import { type Partition, partitionOf } from "../../lib/parallel/partition.ts";
import { partCount } from "../../lib/parallel/tensor_totals.ts";

/** Vectors of at most so many bytes are exchanged whole: see `lib/comm/collectives.ts`. */
const SHORT_BYTES = 1024;

/** Where a rank stands on an axis. */
export type Place = Pick<Communicator, "rank" | "size">;

/** Bytes that a rank sends in an all-reduce of a vector. */
function allReduceBytes(
  elements: number,
  { rank, size, elementBytes = 4 }: Place & { readonly elementBytes?: number },
): number {
  if (size === 1) return 0;
  if (elements * elementBytes <= SHORT_BYTES) return elements * elementBytes * (size - 1);
  const { start, end } = evenParts(elements, size)[rank]!;
  const own = end - start;
  return elementBytes * (elements - own + own * (size - 1));
}

/** What a step's traffic depends on. */
export interface TrafficOptions {
  /** The parameters. */
  readonly parameters: readonly { readonly count: number }[];
  /** Their places by units of a pass. */
  readonly units: readonly (readonly number[])[];
  /** This rank's place on the shard axis. */
  readonly shard: Place;
  /** This rank's place on the data axis. */
  readonly data: Place;
  /** What is of one unit at a time. */
  readonly streamed: { readonly weights: boolean; readonly gradients: boolean };
  /** How gradients are added up. */
  readonly order: ReduceOrder;
  /** Micro-batches of a step. */
  readonly microBatches: number;
  /** Whether the head reads the embedding. */
  readonly tied: boolean;
  /** Numbers that the optimizer adds up for each part of a tensor besides its square. @default {0} */
  readonly totals?: number | undefined;
  /** Bytes of a bucket of gradients. */
  readonly bucketBytes?: number | undefined;
}

/** Bytes sent by kind. */
export interface SentBytes {
  /** Gradients over the shard axis. */
  readonly scattered: number;
  /** Gradients over the data axis. */
  readonly reduced: number;
  /** Weights over the shard axis. */
  readonly gathered: number;
  /** Sums over parts of tensors, over the shard axis. */
  readonly totals: number;
}

/** How often each unit is gathered in a step. */
export function gathersOf({ units, microBatches: M, streamed, tied }: TrafficOptions): number[] {
  const last = units.length - 1;
  return units.map((_, unit) => {
    if (!streamed.weights) return 1;
    // Embedding and head take turns; a tied embedding and the norm before its head stay.
    if (unit === 0 || unit === last) return tied ? 1 : M;
    // Forward and backward; the last block stays for its backward, the first for the next forward.
    const [isFirst, isLast] = [unit === 1, unit === last - 1];
    if (isFirst && isLast) return 1;
    return 2 * M - (isLast ? M : 0) - (isFirst ? M - 1 : 0);
  });
}

function gatheredBytes(options: TrafficOptions, partition: Partition): number {
  const { shard: { rank, size } } = options;
  return gathersOf(options).reduce(
    (sum, times, unit) => sum + times * 4 * partition.lengths[unit]![rank]! * (size - 1),
    0,
  );
}

/** Bytes that a rank sends in a step of training. */
export function stepTraffic(options: TrafficOptions): SentBytes {
  const { parameters, units, shard, data, order, microBatches, bucketBytes } = options;
  const partition = partitionOf(parameters, { units, ranks: shard.size });
  const partitioned = shard.size > 1 && options.streamed.gradients;
  const times = takesTurns(microBatches, { order, partitioned }) ? microBatches : 1;
  let [scattered, reduced] = [0, 0];
  for (const bucket of bucketsOf(parameters, bucketBytes)) {
    const { lengths, elements } = ordered(bucket, { parameters, partition });
    const own = lengths[shard.rank]!;
    scattered += times * 4 * (elements - own);
    reduced += times * allReduceBytes(own, data);
  }
  const parts = parameters.reduce((sum, { count }) => sum + partCount(count), 0);
  const sums = (width: number) => allReduceBytes(parts * width, { ...shard, elementBytes: 8 });
  return {
    scattered,
    reduced,
    gathered: shard.size > 1 ? gatheredBytes(options, partition) : 0,
    totals: sums(1) + (options.totals ? sums(options.totals) : 0),
  };
}
