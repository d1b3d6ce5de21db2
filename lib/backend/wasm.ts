/**
 * The WebAssembly backend: the Rust kernels in 128-bit SIMD, with nothing to install.
 *
 * Every backend has a memory of its own, at most 4 GiB. It stays with 32-bit addresses: Rust has no
 * supported target with 64-bit ones (wasm64 is of its third tier), and not every engine has them. What
 * is larger runs on the native backend, which maps it.
 *
 * @module
 */

import { asError, BackendError, KernelError } from "../base/errors.ts";
import type { Address, Backend, BackendInfo, PassedOver } from "./backend.ts";
import { throwKernelError } from "./kernel_failure.ts";
import {
  ABI_HASH,
  bindKernels,
  type Kernels,
  type KernelSymbols,
  type RuntimeExports,
} from "./kernels.generated.ts";
import { Unavailable } from "./unavailable.ts";
import { WasmCrew } from "./wasm_crew.ts";
import { FIRST_PAGES, MAX_PAGES, wasmModule } from "./wasm_module.ts";

interface PoolExports {
  readonly __stack_pointer: WebAssembly.Global;
  workers_start(context: Address): void;
  workers_stop(context: Address): void;
}
type Exports = KernelSymbols & RuntimeExports & PoolExports;

const TEXT_BYTES = 4096;

/** How to open the WebAssembly backend. */
export interface WasmOptions {
  /** Threads of the pool, the caller's included. */
  readonly threads: number;
  /** What `auto` passed over before. */
  readonly passedOver?: readonly PassedOver[];
  /** The module to load instead of the committed one. */
  readonly module?: URL;
}

function newMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: MAX_PAGES, shared: true });
  } catch (error) {
    throw new BackendError(
      `Cannot reserve address space for the WebAssembly memory: ${asError(error).message}`,
      { hint: "raise the limit with: ulimit -v unlimited" },
    );
  }
}

/** A copy of a text in a memory that other threads share, which decoders refuse to read from. */
function textAt(memory: WebAssembly.Memory, address: number, bytes: number): string {
  return new TextDecoder().decode(new Uint8Array(memory.buffer, address, bytes).slice());
}

/** An instance whose table is ours; a stale module may also want other imports, or lack exports. */
async function instantiate(
  module: WebAssembly.Module,
  env: WebAssembly.ModuleImports,
): Promise<Exports> {
  try {
    const instance = await WebAssembly.instantiate(module, { env });
    const exports = instance.exports as unknown as Exports;
    if (exports.rt_abi_hash?.() === ABI_HASH) return exports;
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
  }
  throw new Unavailable("kernels/wasm/llamero.wasm was built from another kernel table", {
    hint: "deno task build:wasm",
    stale: true,
  });
}

/**
 * Opens a WebAssembly context with its own memory.
 *
 * @throws {Unavailable} When the engine or the module is not fit for it.
 */
export async function openWasm(options: WasmOptions): Promise<Backend> {
  const module = await wasmModule(options.module);
  const memory = newMemory();
  const crew = new WasmCrew(module, memory);
  let backend: WasmBackend | undefined = undefined;
  const panic = (text: number, bytes: number): never => {
    const reason = textAt(memory, text >>> 0, bytes);
    backend?.close();
    throw new KernelError(`Cannot go on in WebAssembly: ${reason}`);
  };
  const start_worker = (board: number, worker: number, stack: number): void =>
    crew.start({ board, worker, stack });
  const env = { memory, panic, start_worker, now: () => performance.now() };
  const exports = await instantiate(module, env);
  return backend = new WasmBackend({ exports, memory, crew }, options);
}

/** What an open context consists of. */
interface Parts {
  readonly exports: Exports;
  readonly memory: WebAssembly.Memory;
  readonly crew: WasmCrew;
}

class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly info: BackendInfo;
  readonly kernels: Kernels;
  readonly passedOver: readonly PassedOver[];
  readonly #exports: Exports;
  readonly #memory: WebAssembly.Memory;
  readonly #crew: WasmCrew;
  readonly #context: Address;
  readonly #text: Address;
  #bytes: Uint8Array;
  #open = true;

  constructor({ exports, memory, crew }: Parts, options: WasmOptions) {
    this.#exports = exports;
    this.#memory = memory;
    this.#crew = crew;
    this.#bytes = new Uint8Array(memory.buffer);
    this.passedOver = options.passedOver ?? [];
    this.#context = exports.rt_open(options.threads) >>> 0;
    this.#text = this.alloc(TEXT_BYTES);
    const length = exports.rt_info(this.#context, this.#text, TEXT_BYTES);
    this.info = JSON.parse(this.#read(length)) as BackendInfo;
    this.kernels = bindKernels(exports, this.#context, (kernel, _status, args) => {
      throwKernelError(kernel, { reason: this.#lastError(), args });
    });
  }

  #read(length: number): string {
    return textAt(this.#memory, this.#text, Math.min(length, TEXT_BYTES));
  }

  #lastError(): string {
    return this.#read(this.#exports.rt_last_error(this.#context, this.#text, TEXT_BYTES));
  }

  /** The bytes of the memory at an address; the view is made anew when the memory has grown. */
  #at(address: Address, bytes: number): Uint8Array {
    if (address === 0 && bytes > 0) throw new BackendError("Cannot use the memory at address 0");
    if (address + bytes > this.#bytes.length) this.#bytes = new Uint8Array(this.#memory.buffer);
    return this.#bytes.subarray(address, address + bytes);
  }

  alloc(bytes: number): Address {
    const address = this.#exports.rt_alloc(this.#context, bytes) >>> 0;
    if (address === 0) {
      throw new BackendError(
        `Cannot reserve ${bytes} bytes: WebAssembly has 4 GiB of memory, 2 GiB for one tensor`,
        { hint: "--backend native has no such limit (deno task build:native)" },
      );
    }
    return address;
  }

  free(address: Address): void {
    if (this.#exports.rt_free(this.#context, address) !== 0) {
      throw new BackendError(`Cannot free address ${address}: ${this.#lastError()}`);
    }
  }

  upload(target: Address, source: ArrayBufferView): void {
    const { buffer, byteOffset, byteLength } = source;
    this.#at(target, byteLength).set(new Uint8Array(buffer, byteOffset, byteLength));
  }

  download(target: ArrayBufferView, source: Address): void {
    const { buffer, byteOffset, byteLength } = target;
    new Uint8Array(buffer, byteOffset, byteLength).set(this.#at(source, byteLength));
  }

  copy(target: Address, source: Address, bytes: number): void {
    this.#at(target, bytes).set(this.#at(source, bytes));
  }

  fill(target: Address, value: number, bytes: number): void {
    this.#at(target, bytes).fill(value);
  }

  mapFile(_path: string): undefined {
    return undefined;
  }

  wait(): void {
    // Calls compute at once.
  }

  async ready(): Promise<void> {
    this.#exports.workers_start(this.#context);
    await this.#crew.ready();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#exports.workers_stop(this.#context);
    this.#crew.terminate();
  }
}
