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

/** Puts values together that come in the order of their ranks, keeping one for each level of the tree. */
export class Tree<Value> {
  readonly #combine: (left: Value, right: Value) => void;
  readonly #open: { readonly height: number; readonly value: Value }[] = [];

  /** A tree without leaves; combining changes the left one. */
  constructor(combine: (left: Value, right: Value) => void) {
    this.#combine = combine;
  }

  /** Adds the value of the next rank, which may be changed from now on. */
  add(value: Value): void {
    let height = 0;
    let right = value;
    for (let left = this.#open.at(-1); left?.height === height; left = this.#open.at(-1)) {
      this.#combine(left.value, right);
      right = left.value;
      this.#open.pop();
      height++;
    }
    this.#open.push({ height, value: right });
  }

  /** All of them together; one of the values that were added holds it. */
  finish(): Value {
    let all = this.#open.pop();
    if (all === undefined) throw new TypeError("a sum of nothing");
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      this.#combine(left.value, all.value);
      all = left;
    }
    return all.value;
  }
}

/**
 * Adds vectors element by element over a fixed binary tree, so that the order of sums depends on the
 * number of leaves alone.
 */
export class TreeSum extends Tree<Numbers> {
  /** A tree without leaves. */
  constructor(operation: ReduceOperation) {
    super((left, right) => combine(left, right, operation));
  }
}
