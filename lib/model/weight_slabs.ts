/**
 * Memory for copies of weights that were mapped.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import { aligned } from "./memory_plan.ts";

/** Copies are gathered in allocations of this size; what is not used is not resident. */
const SLAB_BYTES = 64 << 20;

/** Allocations that grow by slabs and are given back together. */
export class WeightSlabs {
  readonly #backend: Backend;
  readonly #allocations: Address[] = [];
  /** Where the next copy goes. */
  #slab = { next: 0, end: 0 };

  /** Nothing is reserved yet. */
  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** An allocation of its own. @throws {BackendError} When there is no memory left. */
  alloc(bytes: number): Address {
    const memory = this.#backend.alloc(bytes);
    this.#allocations.push(memory);
    return memory;
  }

  /**
   * Room beside other copies, so that only the last huge page of a slab is not full.
   *
   * @throws {BackendError} When there is no memory left.
   */
  take(bytes: number): Address {
    if (this.#slab.end - this.#slab.next < bytes) {
      const size = Math.max(bytes, SLAB_BYTES);
      const next = this.alloc(size);
      this.#slab = { next, end: next + size };
    }
    const target = this.#slab.next;
    this.#slab.next += aligned(bytes);
    return target;
  }

  /** Gives all of it back. */
  close(): void {
    this.#slab = { next: 0, end: 0 };
    for (const memory of this.#allocations.splice(0)) this.#backend.free(memory);
  }
}
