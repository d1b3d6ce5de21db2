/**
 * An embedding that is tied to the head of a pipeline: the first stage and the last have a copy each,
 * and add their gradients up, so that equal optimizers keep both copies the same to the bit.
 *
 * Each of them begins the sum when its own part is complete: the last stage does while the pipeline
 * runs empty. Source: Megatron-LM's embedding group (Narayanan et al. 2021).
 *
 * Bytes that each of the two sends: those of the gradient, 4 V D.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import type { Communicator, Handle } from "../comm/communicator.ts";
import { type DeviceHandle, type DeviceRanks, roomBytes } from "../comm/device/ranks.ts";
import type { Parameter } from "../model/training/trainable.ts";

/** Elements that travel together: two such pieces are copied at a time. */
const PIECE = 1 << 22;

interface Travelling {
  readonly first: number;
  readonly values: Float32Array<ArrayBuffer>;
  readonly handle: Handle<void>;
}

/** Adds up the gradients of the two copies of an embedding. */
export interface TiedSum {
  /** Tells that the gradient is complete on this rank; it must not change until `finish`. */
  start(): void;
  /** Waits for the sum and writes it where the gradient was. @throws {CommunicationError} */
  finish(): void;
}

/** Bytes of the GPU in which pieces of a gradient of so many elements arrive. */
export function tiedRoomBytes(elements: number): number {
  return roomBytes(Math.ceil(Math.min(PIECE, elements) / 2), 2);
}

/** Adds them up on the ranks' GPUs, in pieces that arrive in the same memory. */
export class DeviceTiedEmbedding implements TiedSum {
  readonly #ends: DeviceRanks;
  readonly #copy: Pick<Parameter, "grad" | "count">;
  #sum: DeviceHandle | undefined;

  /** `ends` has the GPUs of the first stage and of the last. */
  constructor(
    options: { readonly ends: DeviceRanks; readonly copy: Pick<Parameter, "grad" | "count"> },
  ) {
    this.#ends = options.ends;
    this.#copy = options.copy;
    this.#ends.reserve(tiedRoomBytes(this.#copy.count));
  }

  /** See {@linkcode TiedSum.start}. */
  start(): void {
    const { grad, count } = this.#copy;
    for (let first = 0; first < count; first += PIECE) {
      this.#sum = this.#ends.allReduce(grad + 4 * first, Math.min(PIECE, count - first));
    }
  }

  /** See {@linkcode TiedSum.finish}: kernels that follow begin after it. */
  finish(): void {
    this.#sum?.join();
  }
}

/** Adds them up in the processor's memory. */
export class TiedEmbedding implements TiedSum {
  readonly #backend: Pick<Backend, "download" | "upload">;
  readonly #ends: Communicator;
  readonly #copy: Pick<Parameter, "grad" | "count">;
  #next = 0;
  #travelling: Travelling[] = [];

  /** `ends` has the ranks of the first stage and of the last. */
  constructor(
    backend: Pick<Backend, "download" | "upload">,
    options: { readonly ends: Communicator; readonly copy: Pick<Parameter, "grad" | "count"> },
  ) {
    this.#backend = backend;
    this.#ends = options.ends;
    this.#copy = options.copy;
  }

  /** Tells that the gradient is complete on this rank; it must not change until `finish`. */
  start(): void {
    this.#next = 0;
    this.#sendOff();
    this.#sendOff();
  }

  #sendOff(): void {
    const { grad, count } = this.#copy;
    const first = this.#next;
    if (first >= count) return;
    const values = new Float32Array(Math.min(PIECE, count - first));
    this.#next += values.length;
    this.#backend.download(values, grad + 4 * first);
    const handle = this.#ends.startAllReduce(values);
    this.#travelling.push({ first, values, handle });
  }

  /** Waits for the sum and writes it where the gradient was. @throws {CommunicationError} */
  finish(): void {
    for (let piece = this.#travelling.shift(); piece; piece = this.#travelling.shift()) {
      const { first, values, handle } = piece;
      handle.wait();
      this.#backend.upload(this.#copy.grad + 4 * first, values);
      this.#sendOff();
    }
  }
}
