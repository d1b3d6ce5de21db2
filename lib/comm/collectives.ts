/**
 * The collectives, over sending and receiving.
 *
 * Reductions are by direct exchange: every rank sends each other rank the part that this one sums,
 * all at once, and sums its own part in the order of `tree_sum.ts`. A rank sends (N-1)/N of the
 * vector, which is the least possible and what rings and recursive halving send, in one exchange
 * instead of N-1 or log N; the sum's order is the tree's and not the exchange's.
 *
 * Bytes that one of N ranks sends for a vector of B bytes: reduce-scatter and all-gather B·(N-1)/N,
 * all-reduce 2·B·(N-1)/N (short ones B·(N-1), in one exchange), a broadcast (N-1)·B over all ranks.
 *
 * @module
 */

import type { Ranks, Steps } from "./call.ts";
import type { Part } from "./parts.ts";
import { type Numbers, type ReduceOperation, TreeSum } from "./tree_sum.ts";

/** Vectors of at most so many bytes are exchanged whole: the number of exchanges is what costs. */
const SHORT_BYTES = 1024;

/** The bytes of an array, without a copy. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function numbersOf(bytes: Uint8Array<ArrayBuffer>, like: Numbers): Numbers {
  const { buffer, byteOffset } = bytes;
  const length = bytes.byteLength / like.BYTES_PER_ELEMENT;
  return like instanceof Float32Array
    ? new Float32Array(buffer, byteOffset, length)
    : new Float64Array(buffer, byteOffset, length);
}

/** The other ranks, each starting at its right neighbour so that not all write to rank 0 first. */
function* others({ rank, size }: Ranks): Generator<number> {
  for (let step = 1; step < size; step++) yield (rank + step) % size;
}

/** What a reduction is told. */
export interface Reduction {
  /** The vector, summed in place. */
  readonly data: Numbers;
  /** How it is cut, a part for each rank. */
  readonly parts: readonly Part[];
  /** How two numbers become one. */
  readonly operation: ReduceOperation;
}

/** Sums the own part of everybody's vector in place; the rest of the vector stays as it is. */
export function* reduceScatterSteps(ranks: Ranks, reduction: Reduction): Steps<Numbers> {
  const { data, parts, operation } = reduction;
  for (const to of others(ranks)) {
    const { start, end } = parts[to]!;
    ranks.send(to, 0, bytesOf(data.subarray(start, end)));
  }
  const { start, end } = parts[ranks.rank]!;
  const own = data.subarray(start, end);
  const tree = new TreeSum(operation);
  for (let from = 0; from < ranks.size; from++) {
    if (from === ranks.rank) tree.add(own);
    else tree.add(numbersOf(yield { from, round: 0, bytes: own.byteLength }, data));
  }
  const sum = tree.finish();
  if (sum !== own) own.set(sum);
  return own;
}

/** Fills the parts of the others with what they have there; `round` tells exchanges apart. */
export function* allGatherSteps(
  ranks: Ranks,
  options: {
    readonly data: Uint8Array;
    readonly parts: readonly Part[];
    readonly round: number;
  },
): Steps<void> {
  const { data, parts, round } = options;
  const { start, end } = parts[ranks.rank]!;
  for (const to of others(ranks)) ranks.send(to, round, data.subarray(start, end));
  for (const from of others(ranks)) {
    const part = parts[from]!;
    data.set(yield { from, round, bytes: part.end - part.start }, part.start);
  }
}

/** Parts in bytes instead of elements. */
export function byteParts(parts: readonly Part[], elementBytes: number): Part[] {
  return parts.map(({ start, end }) => ({ start: start * elementBytes, end: end * elementBytes }));
}

function* shortAllReduceSteps(ranks: Ranks, reduction: Reduction): Steps<void> {
  const { data, operation } = reduction;
  for (const to of others(ranks)) ranks.send(to, 0, bytesOf(data));
  const tree = new TreeSum(operation);
  for (let from = 0; from < ranks.size; from++) {
    if (from === ranks.rank) tree.add(data);
    else tree.add(numbersOf(yield { from, round: 0, bytes: data.byteLength }, data));
  }
  const sum = tree.finish();
  if (sum !== data) data.set(sum);
}

/** Sums everybody's vector in place, the same bits on every rank. */
export function* allReduceSteps(ranks: Ranks, reduction: Reduction): Steps<void> {
  const { data, parts } = reduction;
  if (data.byteLength <= SHORT_BYTES) return yield* shortAllReduceSteps(ranks, reduction);
  yield* reduceScatterSteps(ranks, reduction);
  yield* allGatherSteps(ranks, {
    data: bytesOf(data),
    parts: byteParts(parts, data.BYTES_PER_ELEMENT),
    round: 1,
  });
}

/** Copies the root's bytes to everybody along a binomial tree, in log2(N) exchanges. */
export function* broadcastSteps(
  ranks: Ranks,
  options: { readonly data: Uint8Array; readonly root: number },
): Steps<void> {
  const { data, root } = options;
  const { rank, size } = ranks;
  const place = (rank - root + size) % size;
  let gap = 1;
  // A rank's parent is its place without its lowest bit; its children lie below that bit.
  while (gap < size && (place & gap) === 0) gap *= 2;
  if (place !== 0) {
    const from = (place - gap + root) % size;
    data.set(yield { from, round: 0, bytes: data.byteLength });
  }
  for (gap /= 2; gap >= 1; gap /= 2) {
    if (place + gap < size) ranks.send((place + gap + root) % size, 0, data);
  }
}

/** Returns when every rank has come: after round k a rank knows of the 2^(k+1) before it. */
export function* barrierSteps(ranks: Ranks): Steps<void> {
  const { rank, size } = ranks;
  for (let [gap, round] = [1, 0]; gap < size; gap *= 2, round++) {
    ranks.send((rank + gap) % size, round, new Uint8Array(0));
    yield { from: (rank - gap + size) % size, round, bytes: 0 };
  }
}
