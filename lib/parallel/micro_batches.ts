/**
 * Which sequences of a batch each replica computes at once, and in which order their gradients are
 * added.
 *
 * By rank (the default): a replica adds up its own micro-batches one after the other, and replicas add
 * their sums. In one tree (`--reduce tree`): micro-batches are the leaves of the binary tree of
 * `lib/comm/tree_sum.ts` over their indices in the batch, 0+1, 2+3, then pairs of pairs, whoever
 * computes them; the number of replicas then changes no bit. A replica with a power of two of
 * neighbouring leaves has a whole subtree, whose sum alone travels. With another number, or where
 * nobody keeps whole gradients, replicas take leaves in turns, and every group of leaves that are
 * computed at the same time is a subtree, whose sum travels once for each micro-batch.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { SequenceRange } from "../data/batches.ts";
import { shareOf } from "./data.ts";

/** How the gradients of micro-batches are added up. */
export type ReduceOrder = "ranks" | "tree";

/** What decides who computes what. */
export interface MicroBatchOptions {
  /** Sequences that are computed at once. */
  readonly microBatch: number;
  /** The replicas. */
  readonly replicas: Pick<Communicator, "rank" | "size">;
  /** How gradients are added up. */
  readonly order: ReduceOrder;
  /** Whether replicas keep their parts of gradients alone. */
  readonly partitioned: boolean;
}

/** Whether a number is 1, 2, 4, … */
function isPowerOfTwo(number: number): boolean {
  return Number.isInteger(Math.log2(number));
}

/** Whether replicas take micro-batches in turns, of which each has `count`. */
export function takesTurns(
  count: number,
  { order, partitioned }: Pick<MicroBatchOptions, "order" | "partitioned">,
): boolean {
  return order === "tree" && (partitioned || !isPowerOfTwo(count));
}

/**
 * Checks that a batch has a tree that every allowed number of replicas can share.
 *
 * @throws {ConfigError} For replicas that are no power of two, and for micro-batches that differ.
 */
export function checkTree(
  sequences: number,
  { microBatch, replicas: { size } }: {
    readonly microBatch: number;
    readonly replicas: { readonly size: number };
  },
): void {
  const cannot = "Cannot add up gradients in one tree";
  if (!isPowerOfTwo(size)) {
    throw new ConfigError(`${cannot}: there are ${size} replicas, 1, 2, 4, 8, … were wanted`, {
      hint: "choose --mesh so that data times shard is a power of two, or --reduce ranks",
    });
  }
  if (size === 1 || sequences % (microBatch * size) === 0) return;
  throw new ConfigError(
    `${cannot}: ${sequences} sequences of a step are no multiple of ${size} replicas times ` +
      `micro-batches of ${microBatch}`,
    { hint: "choose a --micro-batch that divides each replica's share of --batch-tokens" },
  );
}

/**
 * The micro-batches of one replica, in the order in which it computes them.
 *
 * @throws {ConfigError} As {@linkcode checkTree}. @throws {RangeError} For shares that are not equal.
 */
export function microBatchesOf(sequences: number, options: MicroBatchOptions): SequenceRange[] {
  const { microBatch, replicas, order } = options;
  if (order === "tree") checkTree(sequences, options);
  const share = shareOf(sequences, replicas);
  const count = Math.ceil(share.count / microBatch);
  const turns = takesTurns(count, options);
  return Array.from({ length: count }, (_, i) => {
    const first = turns
      ? (i * replicas.size + replicas.rank) * microBatch
      : share.first + i * microBatch;
    return { first, count: Math.min(microBatch, share.count - i * microBatch) };
  });
}
