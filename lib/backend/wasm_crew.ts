/**
 * The workers of one WebAssembly context, started when its pool asks for them.
 *
 * @module
 */

import { BackendError } from "../base/errors.ts";

/** What a worker is told when it starts. */
export interface WorkerOrder {
  /** The compiled kernels. */
  readonly module: WebAssembly.Module;
  /** The memory of the context. */
  readonly memory: WebAssembly.Memory;
  /** Address of the pool's board. */
  readonly board: number;
  /** Its number, from 1. */
  readonly worker: number;
  /** Address at which its stack ends (stacks grow down). */
  readonly stack: number;
}

/** The Deno workers that lend a WebAssembly context their threads; each lives in the memory of the context. */
export class WasmCrew {
  readonly #module: WebAssembly.Module;
  readonly #memory: WebAssembly.Memory;
  readonly #workers: Map<number, Worker> = new Map();
  #starting: Promise<void>[] = [];

  /** A crew without workers. */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory) {
    this.#module = module;
    this.#memory = memory;
  }

  /** Starts one worker without waiting for it; one that cannot start is missed by `ready` alone. */
  start(order: Pick<WorkerOrder, "board" | "worker" | "stack">): void {
    const url = new URL("./wasm_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module", name: `llamero-${order.worker}` });
    this.#workers.set(order.worker, worker);
    const started = new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new BackendError(`Cannot start a WebAssembly thread: ${event.message}`));
      };
    });
    started.catch(() => {});
    this.#starting.push(started);
    worker.postMessage({ module: this.#module, memory: this.#memory, ...order });
  }

  /** Resolves when all workers asked for have started. @throws {BackendError} When one cannot. */
  async ready(): Promise<void> {
    await Promise.all(this.#starting);
    this.#starting = [];
  }

  /** Ends all workers; the pool must have been stopped, so that none sleeps. */
  terminate(): void {
    for (const worker of this.#workers.values()) worker.terminate();
    this.#workers.clear();
  }
}
