/**
 * What gathers a unit's weights from their owners, told by addresses in the backend's memory: by way of
 * the processor's memory, or from GPU to GPU over NCCL.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { Communicator } from "../comm/communicator.ts";
import type { DeviceRanks } from "../comm/device/ranks.ts";

/** Neighbouring elements that are sent. */
export interface SentPiece {
  /** Where they are. */
  readonly at: Address;
  /** How many. */
  readonly count: number;
}

/** A unit on its way. */
export interface ComingWeights {
  /** Waits for it; on GPUs kernels that follow do. @throws {CommunicationError} See `Communicator`. */
  wait(): void;
  /** Puts some of its elements, counted in the order of the ranks, where passes read them. */
  put(target: Address, elements: { readonly first: number; readonly count: number }): void;
}

/** Gathers one unit at a time. */
export interface WeightCarrier {
  /**
   * Sends own pieces, one after the other, to all, and receives everybody's.
   *
   * @param lengths Elements of each rank.
   */
  send(own: readonly SentPiece[], lengths: readonly number[]): ComingWeights;
  /** Gives the memory back; does nothing the second time. */
  close(): void;
}

function before(lengths: readonly number[], rank: number): number {
  return lengths.slice(0, rank).reduce((sum, length) => sum + length, 0);
}

/** Gathers in the processor's memory. */
export class HostWeights implements WeightCarrier {
  readonly #backend: Pick<Backend, "download" | "upload">;
  readonly #ranks: Communicator;
  readonly #most: number;
  #staging: Float32Array<ArrayBuffer> | undefined;

  /** Reserves room for the largest unit once one is sent. */
  constructor(
    backend: Pick<Backend, "download" | "upload">,
    { ranks, most }: { readonly ranks: Communicator; readonly most: number },
  ) {
    this.#backend = backend;
    this.#ranks = ranks;
    this.#most = most;
  }

  /** See {@linkcode WeightCarrier.send}. */
  send(own: readonly SentPiece[], lengths: readonly number[]): ComingWeights {
    this.#staging ??= new Float32Array(this.#most);
    const values = this.#staging.subarray(0, before(lengths, lengths.length));
    let place = before(lengths, this.#ranks.rank);
    for (const { at, count } of own) {
      this.#backend.download(values.subarray(place, place += count), at);
    }
    const handle = this.#ranks.startAllGather(values, { lengths });
    return {
      wait: () => handle.wait(),
      put: (target, { first, count }) =>
        this.#backend.upload(target, values.subarray(first, first + count)),
    };
  }

  /** There is nothing of the backend's. */
  close(): void {}
}

/** Gathers from GPU to GPU; a unit arrives beside the weights, while kernels read those of another. */
export class DeviceWeights implements WeightCarrier {
  readonly #backend: Pick<Backend, "free" | "copy">;
  readonly #ranks: DeviceRanks;
  #staging: Address | undefined;

  /** Takes memory of the largest unit. @throws {BackendError} Without memory. */
  constructor(
    backend: Pick<Backend, "alloc" | "free" | "copy">,
    { ranks, most }: { readonly ranks: DeviceRanks; readonly most: number },
  ) {
    this.#backend = backend;
    this.#ranks = ranks;
    this.#staging = backend.alloc(4 * most);
  }

  /** See {@linkcode WeightCarrier.send}. */
  send(own: readonly SentPiece[], lengths: readonly number[]): ComingWeights {
    const staging = this.#staging!;
    let place = before(lengths, this.#ranks.rank);
    for (const { at, count } of own) {
      this.#backend.copy(staging + 4 * place, at, 4 * count);
      place += count;
    }
    const handle = this.#ranks.allGather({ data: staging, lengths });
    return {
      wait: () => handle.join(),
      put: (target, { first, count }) => this.#backend.copy(target, staging + 4 * first, 4 * count),
    };
  }

  /** See {@linkcode WeightCarrier.close}. */
  close(): void {
    if (this.#staging !== undefined) this.#backend.free(this.#staging);
    this.#staging = undefined;
  }
}
