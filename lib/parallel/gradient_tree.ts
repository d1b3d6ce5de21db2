/**
 * The tree of one replica's micro-batches, over gradients in the backend's memory.
 *
 * A leaf is the whole arena of gradients after a micro-batch. As many arenas more as log2 of the
 * micro-batches hold the sums of subtrees that wait for their right half.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { Parameter } from "../model/training/trainable.ts";

/** Arenas that a tree of so many leaves takes besides that of the gradients. */
export function treeArenas(leaves: number): number {
  return Math.floor(Math.log2(leaves));
}

/** Adds gradients of micro-batches in the order of `TreeSum`. */
export class GradientTree {
  readonly #backend: Backend;
  readonly #parameters: readonly Parameter[];
  /** First byte of the arena of gradients, and how many it has. */
  readonly #first: Address;
  readonly #bytes: number;
  readonly #arenas: Address[] = [];
  /** Subtrees that wait for their right half, the largest first. */
  readonly #open: { readonly arena: Address; height: number }[] = [];

  /** Reserves nothing before the first leaf that has to wait. */
  constructor(backend: Backend, parameters: readonly Parameter[]) {
    this.#backend = backend;
    this.#parameters = parameters;
    this.#first = Math.min(...parameters.map(({ grad }) => grad));
    this.#bytes = Math.max(...parameters.map(({ grad, count }) => grad + 4 * count)) - this.#first;
  }

  /** Adds the gradients as they are as the next leaf, of which they are not the last. */
  add(): void {
    const { kernels } = this.#backend;
    const count = this.#bytes / 4;
    let last = this.#open.at(-1);
    if (last?.height !== 0) {
      this.#open.push({ arena: this.#free(), height: 0 });
      this.#backend.copy(this.#open.at(-1)!.arena, this.#first, this.#bytes);
      return;
    }
    kernels.add({ out: last.arena, x: this.#first, count });
    last.height++;
    for (let left = this.#open.at(-2); left?.height === last.height; left = this.#open.at(-2)) {
      kernels.add({ out: left.arena, x: last.arena, count });
      left.height++;
      this.#open.pop();
      last = left;
    }
  }

  #free(): Address {
    const taken = new Set(this.#open.map(({ arena }) => arena));
    const free = this.#arenas.find((arena) => !taken.has(arena));
    if (free !== undefined) return free;
    const arena = this.#backend.alloc(this.#bytes);
    this.#arenas.push(arena);
    return arena;
  }

  /**
   * Makes some gradients, which are those of the last leaf, the sum of all leaves: adding is
   * commutative, so that what waits may be added to them instead of they to it.
   */
  finish(indices: readonly number[]): void {
    for (const { arena } of this.#open.toReversed()) {
      for (const index of indices) {
        const { grad, count } = this.#parameters[index]!;
        this.#backend.kernels.add({ out: grad, x: arena + (grad - this.#first), count });
      }
    }
  }

  /** Forgets all leaves: the next belongs to another tree. */
  clear(): void {
    this.#open.length = 0;
  }

  /** Gives the memory back. */
  close(): void {
    for (const arena of this.#arenas.splice(0)) this.#backend.free(arena);
  }
}
