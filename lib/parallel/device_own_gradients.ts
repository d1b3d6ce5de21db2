/**
 * The gradients of what a rank owns where nobody keeps all gradients, as `own_gradients.ts` adds them up,
 * on GPUs: sums of micro-batches wait in the GPU's memory, and kernels of the queue between ranks add them
 * in the same order.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import { Tree } from "../comm/tree_sum.ts";
import type { OrderedBucket, Segment } from "./buckets.ts";
import { treeArenas } from "./gradient_tree.ts";
import type { Piece } from "./partition.ts";

/** A bucket's sum over the ranks, as far as it is this rank's. */
export interface BucketSum {
  /** Which bucket. */
  readonly bucket: number;
  /** Where the sum is; it may be changed. */
  readonly at: Address;
  /** Which elements it has, and their places in it. */
  readonly segments: readonly Segment[];
}

/** How many ones a number has in binary: subtrees that wait after so many leaves. */
function ones(count: number): number {
  return count.toString(2).replaceAll("0", "").length;
}

/** Takes sums of micro-batches, and leaves the sum of all where the optimizer reads it. */
export class DeviceOwnGradients {
  readonly #backend: Pick<Backend, "alloc" | "free" | "copy" | "kernels">;
  /** Where each own piece's gradients lie, by parameter and first element. */
  readonly #addresses: ReadonlyMap<string, Address>;
  readonly #elements: number;
  #micro = 1;
  /** Memory of the subtrees that wait, the largest first: own elements each. */
  readonly #arenas: Address[] = [];
  #trees: Map<number, { readonly tree: Tree<Address>; leaves: number; readonly place: number }> =
    new Map();
  /** Place of the next bucket within an arena. */
  #next = 0;

  /** Writes to the addresses of the own pieces. */
  constructor(
    backend: Pick<Backend, "alloc" | "free" | "copy" | "kernels">,
    own: readonly (Piece & { readonly grad: Address })[],
  ) {
    this.#backend = backend;
    this.#addresses = new Map(
      own.map((piece) => [`${piece.parameter}:${piece.first}`, piece.grad]),
    );
    this.#elements = own.reduce((sum, { count }) => sum + count, 0);
  }

  /** Begins a step of so many micro-batches, and takes the memory of those that wait. */
  begin(count: number): void {
    this.#micro = count;
    this.#trees = new Map();
    this.#next = 0;
    while (this.#arenas.length < treeArenas(count)) {
      this.#arenas.push(this.#backend.alloc(Math.max(4, 4 * this.#elements)));
    }
  }

  /** Takes a bucket's sum over the ranks, on the queue that has made it. */
  take(sum: BucketSum): void {
    const { segments } = sum;
    const at = this.#micro === 1 || segments.length === 0 ? sum.at : this.#added(sum);
    if (at === undefined) return;
    for (const { parameter, first, count, at: place } of segments) {
      const target = this.#addresses.get(`${parameter}:${first}`)!;
      this.#backend.copy(target, at + 4 * place, 4 * count);
    }
  }

  /** Where the sum over all micro-batches is once this is the last of them. */
  #added({ bucket, at, segments }: BucketSum): Address | undefined {
    const count = segments.reduce((sum, segment) => sum + segment.count, 0);
    const own = this.#trees.get(bucket) ?? {
      tree: new Tree<Address>((out, x) => this.#backend.kernels.add({ out, x, count })),
      leaves: 0,
      place: this.#next,
    };
    if (!this.#trees.has(bucket)) {
      this.#trees.set(bucket, own);
      this.#next += count;
    }
    const leaf = own.leaves++;
    const isLast = own.leaves === this.#micro;
    let value = at;
    // A leaf that is added at once need not be kept.
    if (!isLast && leaf % 2 === 0) {
      value = this.#arenas[ones(leaf)]! + 4 * own.place;
      this.#backend.copy(value, at, 4 * count);
    }
    own.tree.add(value);
    if (!isLast) return undefined;
    this.#trees.delete(bucket);
    return own.tree.finish();
  }

  /** Gives the memory back. */
  close(): void {
    for (const arena of this.#arenas.splice(0)) this.#backend.free(arena);
  }
}

/** A bucket's own segments, counted from the first of them. */
export function ownSegments({ segments }: OrderedBucket, rank: number): readonly Segment[] {
  const own = segments[rank]!;
  const start = own[0]?.at ?? 0;
  return own.map((segment) => ({ ...segment, at: segment.at - start }));
}
