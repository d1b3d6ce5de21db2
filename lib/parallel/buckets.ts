/**
 * Buckets: gradients that travel together, and in which order their elements lie on the way.
 *
 * @module
 */

import type { Parameter } from "../model/training/trainable.ts";
import type { Partition } from "./partition.ts";

/**
 * Bytes of a bucket. PyTorch has 25 MB, for GPUs; here one block of a small model must already be on its
 * way while the next is being computed, and messages cost microseconds.
 */
export const DEFAULT_BUCKET_BYTES: number = 4 * 2 ** 20;

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

/** Neighbouring elements of a parameter, and where they lie in their bucket. */
export interface Segment {
  /** Place of the parameter in the list. */
  readonly parameter: number;
  /** First element. */
  readonly first: number;
  /** How many. */
  readonly count: number;
  /** Place of the first in the bucket. */
  readonly at: number;
}

/** A bucket whose elements are in the order of travel. */
export interface OrderedBucket extends Bucket {
  /** Where elements lie, by rank of the shard axis: what the first owns, then what the second does. */
  readonly segments: readonly (readonly Segment[])[];
  /** Elements of each rank's part. */
  readonly lengths: readonly number[];
}

/** Orders a bucket's elements by their owners; without a partition the one owner has all. */
export function ordered(
  bucket: Bucket,
  { parameters, partition }: {
    readonly parameters: readonly Pick<Parameter, "count">[];
    readonly partition?: Partition | undefined;
  },
): OrderedBucket {
  const inBucket = new Set(bucket.parameters);
  const ranks = partition?.pieces[0]?.length ?? 1;
  const whole = bucket.parameters.map((parameter) => (
    { parameter, first: 0, count: parameters[parameter]!.count }
  ));
  let at = 0;
  const segments = Array.from({ length: ranks }, (_, rank) => {
    const pieces = partition?.pieces.flatMap((unit) =>
      unit[rank]!.filter(({ parameter }) =>
        inBucket.has(parameter)
      )
    ) ?? whole;
    return pieces.map((piece) => {
      const segment = { ...piece, at };
      at += piece.count;
      return segment;
    });
  });
  const lengths = segments.map((own) => own.reduce((sum, { count }) => sum + count, 0));
  return { ...bucket, segments, lengths };
}
