/**
 * The gradients of what a rank owns, where nobody keeps all gradients (ZeRO stages 2 and 3,
 * Rajbhandari et al. 2020, section 5.2): the sums over all ranks of one micro-batch after the other.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import { TreeSum } from "../comm/tree_sum.ts";
import type { SumTaker } from "./data.ts";
import type { Piece } from "./partition.ts";

/** Takes sums of micro-batches, and leaves the sum of all where the optimizer reads it. */
export class OwnGradients {
  readonly #backend: Pick<Backend, "upload">;
  /** Where each own piece's gradients lie, by parameter and first element. */
  readonly #addresses: ReadonlyMap<string, Address>;
  #micro = 1;
  /** The tree of each bucket's micro-batches, and its leaves so far. */
  #trees: Map<number, { readonly tree: TreeSum; leaves: number }> = new Map();

  /** Writes to the addresses of the own pieces. */
  constructor(
    backend: Pick<Backend, "upload">,
    own: readonly (Piece & { readonly grad: Address })[],
  ) {
    this.#backend = backend;
    this.#addresses = new Map(
      own.map((piece) => [`${piece.parameter}:${piece.first}`, piece.grad]),
    );
  }

  /** Begins a step of so many micro-batches, which are added in the order of `TreeSum`. */
  begin(count: number): void {
    this.#micro = count;
    this.#trees = new Map();
  }

  /** Takes a bucket's sum over the ranks. */
  readonly take: SumTaker = (values, { bucket, segments }) => {
    const sum = this.#added(bucket, values);
    if (sum === undefined) return;
    for (const { parameter, first, count, at } of segments) {
      this.#backend.upload(
        this.#addresses.get(`${parameter}:${first}`)!,
        sum.subarray(at, at + count),
      );
    }
  };

  /** The sum over all micro-batches once this is the last of them. */
  #added(bucket: number, values: Float32Array<ArrayBuffer>): Float32Array | undefined {
    if (this.#micro === 1) return values;
    const sum = this.#trees.get(bucket) ?? { tree: new TreeSum("sum"), leaves: 0 };
    this.#trees.set(bucket, sum);
    sum.tree.add(values.slice());
    if (++sum.leaves < this.#micro) return undefined;
    this.#trees.delete(bucket);
    return sum.tree.finish() as Float32Array;
  }
}
