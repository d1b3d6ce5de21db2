/**
 * Memory that is planned before it is taken: named buffers side by side in one allocation.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";

/** Every buffer begins at a multiple of this, a cache line and the widest vector. */
const ALIGNMENT = 64;

/** Rounds a size up to where the next buffer may begin. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Bytes that buffers of these sizes take side by side. */
export function plannedBytes(sizes: Readonly<Record<string, number>>): number {
  return Object.values(sizes).reduce((sum, bytes) => sum + aligned(bytes), 0);
}

/** Named buffers in one allocation; they live and go together. */
export class PlannedMemory<Name extends string> {
  /** Address of every buffer. */
  readonly at: Readonly<Record<Name, Address>>;
  /** Bytes of all of them. */
  readonly bytes: number;
  readonly #backend: Backend;
  #base: Address;

  /** Takes the memory for buffers of the given sizes. @throws {BackendError} When there is none left. */
  constructor(backend: Backend, sizes: Readonly<Record<Name, number>>) {
    this.bytes = plannedBytes(sizes);
    this.#backend = backend;
    this.#base = backend.alloc(Math.max(this.bytes, ALIGNMENT));
    const at = {} as Record<Name, Address>;
    let next = this.#base;
    for (const [name, bytes] of Object.entries(sizes) as [Name, number][]) {
      at[name] = next;
      next += aligned(bytes);
    }
    this.at = at;
  }

  /** Gives the memory back; does nothing the second time. */
  close(): void {
    if (this.#base !== 0) this.#backend.free(this.#base);
    this.#base = 0;
  }
}
