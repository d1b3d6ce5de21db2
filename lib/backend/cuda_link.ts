/**
 * The CUDA library's NCCL and its queue between ranks (`kernels/cuda/nccl.cu`, `ranks.cu`), as they cross
 * the border.
 *
 * @module
 */

import { BackendError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { Address } from "./backend.ts";
import {
  type DeviceChannel,
  type DeviceLink,
  type DeviceMessage,
  type QueueEnd,
  RANK_QUEUES,
  UNIQUE_ID_BYTES,
  type VocabularyTotals,
} from "./device_link.ts";
import { loadSymbols } from "./library.ts";

/** Functions of the CUDA library that are not of the kernel table. */
const SYMBOLS = {
  cuda_devices: { parameters: [], result: "i32" },
  cuda_open: { parameters: ["u32"], result: "f64" },
  cuda_identity: { parameters: ["f64", "buffer", "u32"], result: "u32" },
  cuda_free_bytes: { parameters: ["f64"], result: "f64" },
  rt_last_error: { parameters: ["f64", "buffer", "u32"], result: "u32" },
  ranks_begin: { parameters: ["f64", "u32"], result: "i32" },
  ranks_end: { parameters: ["f64"], result: "f64" },
  ranks_join: { parameters: ["f64", "u32", "f64"], result: "i32" },
  ranks_reached: { parameters: ["f64", "u32", "f64"], result: "i32" },
  ranks_settled: { parameters: ["f64"], result: "i32" },
  ranks_vocabulary_totals: {
    parameters: ["f64", "f64", "u32", "u32", "u32", "f64", "f64", "f64", "f64", "f64", "f64"],
    result: "i32",
  },
  nccl_load: { parameters: ["buffer", "u32", "buffer", "u32", "buffer"], result: "i32" },
  nccl_unique_id: { parameters: ["f64", "buffer"], result: "i32" },
  nccl_open: { parameters: ["f64", "buffer", "u32", "u32", "buffer"], result: "i32" },
  nccl_state: { parameters: ["f64", "f64"], result: "i32" },
  nccl_close: { parameters: ["f64", "f64"], result: "i32" },
  nccl_exchange: { parameters: ["f64", "f64", "buffer", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Memory that the library reads or writes. */
export type Bytes = Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** These functions, loaded; `context` is that of a backend, and statuses are those of `ranks.cu`. */
export interface CudaSymbols {
  /** How many GPUs are visible, below 0 where that cannot be asked. */
  cuda_devices(): number;
  /** Opens a context on one of them; 0 on failure. */
  cuda_open(device: number): Address;
  /** Writes what no other GPU is called. */
  cuda_identity(context: Address, text: Bytes, capacity: number): number;
  /** Bytes of the GPU's memory that are free, or 0. */
  cuda_free_bytes(context: Address): number;
  /** Writes why the last call failed; with context 0, why none could be opened. */
  rt_last_error(context: Address, text: Bytes, capacity: number): number;
  /** Chooses a queue between ranks. */
  ranks_begin(context: Address, queue: number): number;
  /** Chooses the queue of kernels again; the number of what was enqueued. */
  ranks_end(context: Address): number;
  /** Lets kernels wait for a number of a queue. */
  ranks_join(context: Address, queue: number, end: number): number;
  /** Whether a number of a queue has come. */
  ranks_reached(context: Address, queue: number, end: number): number;
  /** Whether kernels have ended. */
  ranks_settled(context: Address): number;
  /** Puts scores of all parts of a vocabulary together. */
  ranks_vocabulary_totals(
    context: Address,
    told: Address,
    ranks: number,
    rank: number,
    rows: number,
    counts: Address,
    weights: Address,
    zLoss: number,
    logProb: Address,
    logZ: Address,
    factors: Address,
  ): number;
  /** Loads NCCL; writes its version, or why not, and how long that is. */
  nccl_load(name: Bytes, length: number, text: Bytes, capacity: number, written: Bytes): number;
  /** Writes new bytes by which ranks find each other. */
  nccl_unique_id(context: Address, id: Bytes): number;
  /** Opens a channel; writes its address. */
  nccl_open(context: Address, id: Bytes, rank: number, size: number, out: Bytes): number;
  /** Whether a channel's last call has ended. */
  nccl_state(context: Address, channel: Address): number;
  /** Ends a channel at once. */
  nccl_close(context: Address, channel: Address): number;
  /** Enqueues messages. */
  nccl_exchange(context: Address, channel: Address, list: Bytes, count: number): number;
}

/** Loads these functions of a library. @throws {Unavailable} When it cannot be loaded or lacks one. */
export function loadCudaSymbols(
  path: string,
  rebuild: string,
): { readonly symbols: CudaSymbols; close(): void } {
  return loadSymbols(path, { symbols: SYMBOLS, rebuild });
}

/** A status of the library that says: look again. */
const NOT_YET = 2;
const TEXT_BYTES = 4096;
/** Looks without a nap between them: what is almost there is found at once. */
const QUICK_LOOKS = 200;
const NAP_MS = 0.1;
/** How long the reason of a failure may take to come. */
const REASON_MS = 3000;

const INSTALL_NCCL =
  "pip install nvidia-nccl-cu13, or apt install libnccl2; LLAMERO_NCCL names another file";

/** What a text of the library says. */
export function libraryText(
  write: (text: Uint8Array<ArrayBuffer>, capacity: number) => number,
): string {
  const text = new Uint8Array(TEXT_BYTES);
  const length = write(text, TEXT_BYTES);
  return new TextDecoder().decode(text.subarray(0, Math.min(length, TEXT_BYTES)));
}

/**
 * Loads NCCL through the CUDA library and returns its version.
 *
 * @throws {BackendError} Where there is none, or it is too old.
 */
export function loadNccl(symbols: Pick<CudaSymbols, "nccl_load">, library = ""): string {
  const name = new TextEncoder().encode(library);
  const written = new Uint32Array(1);
  let status = 0;
  const said = libraryText((text, capacity) => {
    status = symbols.nccl_load(name, name.length, text, capacity, written);
    return written[0]!;
  });
  if (status === 0) return said;
  const which = library === "" ? "NCCL" : quoted(library);
  throw new BackendError(`Cannot load ${which}: ${said}`, { hint: INSTALL_NCCL });
}

/** The link of one context. */
export class CudaLink implements DeviceLink {
  readonly identity: string;
  readonly #symbols: CudaSymbols;
  readonly #context: Address;
  readonly #bell: Int32Array = new Int32Array(new SharedArrayBuffer(4));
  readonly #channels: Set<Address> = new Set();
  #check: (waitedMs: number) => void = () => {};
  /** Whether kernels may wait for other ranks. */
  #joined = false;
  /** The queue that is being given work, if one is. */
  #begun: number | undefined;
  /** The number of each queue's last end. */
  readonly #enqueued: number[] = new Array(RANK_QUEUES).fill(0);

  /** Takes what the backend has opened. */
  constructor(symbols: CudaSymbols, context: Address) {
    this.#symbols = symbols;
    this.#context = context;
    this.identity = libraryText((text, capacity) => symbols.cuda_identity(context, text, capacity));
  }

  freeBytes(): number | undefined {
    return this.#symbols.cuda_free_bytes(this.#context) || undefined;
  }

  load(library?: string): string {
    return loadNccl(this.#symbols, library);
  }

  #ended(status: number, action: string): boolean {
    if (status === 0) return true;
    if (status === NOT_YET) return false;
    const { rt_last_error } = this.#symbols;
    const reason = libraryText((text, capacity) => rt_last_error(this.#context, text, capacity));
    throw new BackendError(`Cannot ${action}: ${reason}`);
  }

  /** Looks until it is so; what ends the work of all ranks ends this too. */
  #until(look: () => boolean): void {
    try {
      const began = performance.now();
      for (let looks = 0; !look(); looks++) {
        if (looks < QUICK_LOOKS) continue;
        this.#check(performance.now() - began);
        for (const channel of this.#channels) this.#state(channel);
        Atomics.wait(this.#bell, 0, 0, NAP_MS);
      }
    } catch (thrown) {
      this.#abandon();
      if (!(thrown instanceof BackendError)) throw thrown;
      // NCCL may notice first that a rank is gone; the function learns which one and why.
      const deadline = performance.now() + REASON_MS;
      while (performance.now() < deadline) {
        this.#check(0);
        Atomics.wait(this.#bell, 0, 0, NAP_MS);
      }
      throw thrown;
    }
  }

  #state(channel: Address): boolean {
    const status = this.#symbols.nccl_state(this.#context, channel);
    return this.#ended(status, "reach the other GPUs");
  }

  /** Closes all channels, so that what waits on the GPU for other ranks ends. */
  #abandon(): void {
    for (const channel of this.#channels) this.#symbols.nccl_close(this.#context, channel);
    this.#channels.clear();
    this.#joined = false;
  }

  uniqueId(): Uint8Array<ArrayBuffer> {
    const id = new Uint8Array(UNIQUE_ID_BYTES);
    this.#ended(this.#symbols.nccl_unique_id(this.#context, id), "connect GPUs");
    return id;
  }

  open(
    id: Uint8Array<ArrayBuffer>,
    { rank, size }: { readonly rank: number; readonly size: number },
  ): DeviceChannel {
    const out = new Float64Array(1);
    const status = this.#symbols.nccl_open(this.#context, id, rank, size, out);
    const ended = this.#ended(status, `connect ${size} GPUs`);
    const channel = out[0]!;
    this.#channels.add(channel);
    if (!ended) this.#until(() => this.#state(channel));
    return {
      exchange: (messages) => this.#exchange(channel, messages),
      close: () => {
        if (!this.#channels.delete(channel)) return;
        this.#symbols.nccl_close(this.#context, channel);
      },
    };
  }

  #exchange(channel: Address, messages: readonly DeviceMessage[]): void {
    if (!this.#channels.has(channel)) throw new BackendError("Cannot reach the other GPUs: closed");
    const list = Float64Array.from(
      messages.flatMap(({ way, peer, address, bytes }) => [
        way === "send" ? 0 : 1,
        ...[peer, address, bytes],
      ]),
    );
    const { nccl_exchange } = this.#symbols;
    const status = nccl_exchange(this.#context, channel, list, messages.length);
    if (!this.#ended(status, "send between GPUs")) this.#until(() => this.#state(channel));
  }

  enqueue(work: () => void, queue: number = 0): QueueEnd {
    if (this.#begun !== undefined) {
      if (this.#begun !== queue) throw new TypeError("work of one queue within that of another");
      work();
      return { queue, number: this.#enqueued[queue]! + 1 };
    }
    this.#ended(this.#symbols.ranks_begin(this.#context, queue), "send between GPUs");
    this.#begun = queue;
    try {
      work();
    } finally {
      this.#begun = undefined;
      this.#enqueued[queue] = this.#symbols.ranks_end(this.#context);
    }
    return { queue, number: this.#enqueued[queue]! };
  }

  reached({ queue, number }: QueueEnd): boolean {
    const status = this.#symbols.ranks_reached(this.#context, queue, number);
    return this.#ended(status, "wait for other GPUs");
  }

  join(end: QueueEnd): void {
    this.#joined = true;
    const status = this.#symbols.ranks_join(this.#context, end.queue, end.number);
    if (!this.#ended(status, "wait for other GPUs")) this.wait(end);
  }

  wait(end: QueueEnd, limitMs: number = Infinity): void {
    const until = performance.now() + limitMs;
    this.#until(() => this.reached(end) || performance.now() > until);
  }

  vocabularyTotals(totals: VocabularyTotals): void {
    const { told, ranks, rank, rows, counts, gradient, logProb, logZ } = totals;
    const { weights, zLoss, factors } = gradient ?? { weights: 0, zLoss: 0, factors: 0 };
    const status = this.#symbols.ranks_vocabulary_totals(
      this.#context,
      ...[told, ranks, rank, rows, counts, weights, zLoss] as const,
      ...[logProb, logZ, factors] as const,
    );
    this.#ended(status, "put scores together");
  }

  watch(check: (waitedMs: number) => void): void {
    this.#check = check;
  }

  /** Looks until kernels have ended, where other ranks can keep them from it. */
  settle(): void {
    if (!this.#joined || this.#begun !== undefined) return;
    const { ranks_settled } = this.#symbols;
    this.#until(() => this.#ended(ranks_settled(this.#context), "wait for kernels"));
    this.#joined = false;
  }

  /** Closes what is open. */
  close(): void {
    this.#abandon();
  }
}
