/**
 * Sums over tensors from the sums that kernels make of parts of 32,768 elements, whoever owns these.
 *
 * Parts are added in their order, as the kernels `square_sum` and `adafactor` add them on one rank: who
 * owns what changes no bit. Slices of a tensor (tensor parallelism) are added in the tree of
 * `lib/comm/tree_sum.ts`. Every rank gets the same bits.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import type { Parameter } from "../model/training/trainable.ts";
import { PART_ELEMENTS, type Piece } from "./partition.ts";

/** The axes of a mesh that tensors are cut along; absent ones have one rank. */
export interface CutAxes {
  /** Ranks that share out who owns what. */
  readonly shard?: Communicator | undefined;
  /** Ranks that have slices of every matrix. */
  readonly tensor?: Communicator | undefined;
}

/** Parts of so many elements. */
export function partCount(elements: number): number {
  return Math.ceil(elements / PART_ELEMENTS);
}

/** Adds up what ranks have of the sums over tensors. */
export class TensorTotals {
  readonly #parameters: readonly Parameter[];
  readonly #pieces: readonly Piece[];
  readonly #axes: CutAxes;
  /** Place of every parameter's first part among all parts. */
  readonly #firstPart: readonly number[];
  readonly #allParts: number;

  /** Of these parameters this rank owns these pieces. */
  constructor(
    parameters: readonly Parameter[],
    { pieces, axes }: { readonly pieces: readonly Piece[]; readonly axes: CutAxes },
  ) {
    this.#parameters = parameters;
    this.#pieces = pieces;
    this.#axes = axes;
    let all = 0;
    this.#firstPart = parameters.map(({ count }) => {
      const first = all;
      all += partCount(count);
      return first;
    });
    this.#allParts = all;
  }

  /** Parts of all pieces. */
  get ownParts(): number {
    return this.#pieces.reduce((sum, { count }) => sum + partCount(count), 0);
  }

  /**
   * Totals of what this rank has of each tensor [parameters, width], shards taken together.
   *
   * @param own Sums of the own pieces' parts, piece by piece [ownParts, width].
   */
  held(own: Float64Array<ArrayBuffer>, width: number): Float64Array<ArrayBuffer> {
    const all = new Float64Array(this.#allParts * width);
    let at = 0;
    for (const { parameter, first, count } of this.#pieces) {
      const length = partCount(count) * width;
      const place = (this.#firstPart[parameter]! + first / PART_ELEMENTS) * width;
      all.set(own.subarray(at, at += length), place);
    }
    // One rank has each number, the others zero.
    this.#axes.shard?.allReduce(all);
    const totals = new Float64Array(this.#parameters.length * width);
    this.#parameters.forEach(({ count }, index) => {
      const first = this.#firstPart[index]! * width;
      for (let i = 0; i < partCount(count) * width; i++) {
        totals[index * width + i % width]! += all[first + i]!;
      }
    });
    return totals;
  }

  /** Totals of whole tensors [parameters, width]; `own` as the kernels made it [ownParts, width]. */
  tensors(own: Float64Array<ArrayBuffer>, width: number): Float64Array<ArrayBuffer> {
    const totals = this.held(own, width);
    const { tensor } = this.#axes;
    if ((tensor?.size ?? 1) === 1) return totals;
    const slices = totals.map((total, i) => {
      const { spec, slice, copy } = this.#parameters[Math.floor(i / width)]!;
      // Keys and values may have copies over the tensor axis; an embedding's are over stages alone.
      return slice !== undefined && (copy === 0 || spec.role === "embedding") ? total : 0;
    });
    tensor!.allReduce(slices);
    return totals.map((total, i) =>
      this.#parameters[Math.floor(i / width)]!.slice === undefined ? total : slices[i]!
    );
  }
}
