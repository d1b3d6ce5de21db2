/**
 * The order in which the vectors of the ranks are added.
 *
 * It is one binary tree over the rank indices: neighbours first (0+1, 2+3, …), then pairs of pairs,
 * and so on; what has no partner goes up as it is. Five ranks are ((0+1)+(2+3))+4. It depends on
 * nothing else: not on the length of the vector, the element, the part, the transport or who is
 * early. Ranks of a power of two that each summed a balanced tree of their own therefore give the
 * same bits as one rank with the larger tree.
 *
 * @module
 */

/** Vectors that can be reduced; sums are rounded to the vector's own precision at each node. */
export type Numbers = Float32Array | Float64Array;

/** How two numbers become one. `max` is NaN where either is, so that a fault is not lost. */
export type ReduceOperation = "sum" | "max";

function combine(left: Numbers, right: Numbers, operation: ReduceOperation): void {
  if (operation === "sum") {
    for (let i = 0; i < left.length; i++) left[i] = left[i]! + right[i]!;
  } else {
    for (let i = 0; i < left.length; i++) left[i] = Math.max(left[i]!, right[i]!);
  }
}

/** Adds vectors that come in the order of their ranks, keeping one for each level of the tree. */
export class TreeSum {
  readonly #operation: ReduceOperation;
  readonly #open: { readonly height: number; readonly values: Numbers }[] = [];

  /** A tree without leaves. */
  constructor(operation: ReduceOperation) {
    this.#operation = operation;
  }

  /** Adds the vector of the next rank, which may be overwritten from now on. */
  add(values: Numbers): void {
    let height = 0;
    let right = values;
    for (let left = this.#open.at(-1); left?.height === height; left = this.#open.at(-1)) {
      combine(left.values, right, this.#operation);
      right = left.values;
      this.#open.pop();
      height++;
    }
    this.#open.push({ height, values: right });
  }

  /** The sum of all; one of the vectors that were added holds it. */
  finish(): Numbers {
    let sum = this.#open.pop();
    if (sum === undefined) throw new TypeError("a sum of nothing");
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      combine(left.values, sum.values, this.#operation);
      sum = left;
    }
    return sum.values;
  }
}
