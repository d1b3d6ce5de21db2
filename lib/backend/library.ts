/**
 * A backend that is a shared library: loading it, checking its kernel table, and its context as a
 * {@linkcode Backend}.
 *
 * Only numbers and buffers cross the border, so `--allow-ffi=<the library>` is all it needs.
 *
 * @module
 */

import { asError, BackendError, LlameroError } from "../base/errors.ts";
import type {
  Address,
  Backend,
  BackendInfo,
  BackendName,
  MappedFile,
  PassedOver,
} from "./backend.ts";
import { throwKernelError } from "./kernel_failure.ts";
import {
  ABI_HASH,
  bindKernels,
  KERNEL_SYMBOLS,
  type Kernels,
  RUNTIME_SYMBOLS,
} from "./kernels.generated.ts";
import { Unavailable } from "./unavailable.ts";

const SYMBOLS: typeof RUNTIME_SYMBOLS & typeof KERNEL_SYMBOLS = {
  ...RUNTIME_SYMBOLS,
  ...KERNEL_SYMBOLS,
};
/** An opened library with everything that it exports. */
export type KernelLibrary = Deno.DynamicLibrary<typeof RUNTIME_SYMBOLS & typeof KERNEL_SYMBOLS>;

const TEXT_BYTES = 4096;

/** Loads functions of a library. @throws {Unavailable} When it cannot be loaded or lacks one. */
export function loadSymbols<S extends Deno.ForeignLibraryInterface>(
  path: string,
  { symbols, rebuild }: { readonly symbols: S; readonly rebuild: string },
): Deno.DynamicLibrary<S> {
  try {
    return Deno.dlopen(path, symbols);
  } catch (error) {
    const cause = asError(error);
    if (error instanceof Deno.errors.NotCapable) {
      throw new Unavailable(`no permission to load ${path}`, { hint: `--allow-ffi=${path}` });
    }
    const stale = cause.message.includes("symbol");
    const reason = stale ? "it was built from another kernel table" : cause.message;
    throw new Unavailable(`${path}: ${reason}`, { hint: rebuild, stale });
  }
}

/**
 * Loads a library and checks that it was built from this kernel table.
 *
 * @param path Where it is; `undefined` where the program does not run from files.
 * @param rebuild The command that builds it.
 * @throws {Unavailable} When it is absent, cannot be loaded or is stale.
 */
export function loadKernelLibrary(path: string | undefined, rebuild: string): KernelLibrary {
  if (path === undefined) throw new Unavailable("it works from a local checkout only");
  try {
    Deno.statSync(path);
  } catch {
    throw new Unavailable(`no library at ${path}`, { hint: rebuild });
  }
  const symbols = { rt_abi_hash: RUNTIME_SYMBOLS.rt_abi_hash };
  const probe = loadSymbols(path, { symbols, rebuild });
  const hash = probe.symbols.rt_abi_hash();
  probe.close();
  if (hash !== ABI_HASH) {
    throw new Unavailable(`${path} was built from another kernel table`, {
      hint: rebuild,
      stale: true,
    });
  }
  return loadSymbols(path, { symbols: SYMBOLS, rebuild });
}

/** What a backend needs to open. */
export interface OpenOptions {
  /** Threads of the pool, the caller's included. */
  readonly threads: number;
  /** What `auto` passed over before. */
  readonly passedOver?: readonly PassedOver[];
  /** The library or module to load instead of the usual one. */
  readonly library?: string;
}

/** An open library with a context in it. */
export interface LibraryParts {
  /** What the backend is called. */
  readonly name: BackendName;
  /** The library, which the backend closes. */
  readonly library: KernelLibrary;
  /** The context that `open` of the library has made. */
  readonly context: Address;
  /** Whether it maps files. */
  readonly mapsFiles: boolean;
  /** What `auto` passed over before. */
  readonly passedOver: readonly PassedOver[];
}

/** A context of a library as a backend. */
export class LibraryBackend implements Backend {
  readonly name: BackendName;
  readonly info: BackendInfo;
  readonly kernels: Kernels;
  readonly passedOver: readonly PassedOver[];
  readonly #library: KernelLibrary;
  readonly #context: Address;
  readonly #mapsFiles: boolean;
  readonly #text: Uint8Array<ArrayBuffer> = new Uint8Array(TEXT_BYTES);
  #open = true;

  /** Takes the library and its context over. */
  constructor({ name, library, context, mapsFiles, passedOver }: LibraryParts) {
    this.name = name;
    this.#library = library;
    this.#context = context;
    this.#mapsFiles = mapsFiles;
    this.passedOver = passedOver;
    const length = library.symbols.rt_info(context, this.#text, TEXT_BYTES);
    this.info = JSON.parse(this.#read(length)) as BackendInfo;
    this.kernels = bindKernels(library.symbols, context, (kernel, _status, args) => {
      throwKernelError(kernel, { reason: this.#lastError(), args });
    });
  }

  /** Whether its context is there. */
  protected get isOpen(): boolean {
    return this.#open;
  }

  /** Looks at what was enqueued until it has ended, where waiting for it could take forever. */
  protected settle(): void {}

  #read(length: number): string {
    return new TextDecoder().decode(this.#text.subarray(0, Math.min(length, TEXT_BYTES)));
  }

  #lastError(): string {
    return this.#read(this.#library.symbols.rt_last_error(this.#context, this.#text, TEXT_BYTES));
  }

  #check(status: number, action: string): void {
    if (status !== 0) throw new BackendError(`Cannot ${action}: ${this.#lastError()}`);
  }

  alloc(bytes: number): Address {
    const address = this.#library.symbols.rt_alloc(this.#context, bytes);
    if (address === 0) {
      throw new BackendError(`Cannot reserve ${bytes} bytes: the machine has not that much memory`);
    }
    return address;
  }

  free(address: Address): void {
    this.settle();
    this.#check(this.#library.symbols.rt_free(this.#context, address), `free address ${address}`);
  }

  upload(target: Address, source: ArrayBufferView<ArrayBuffer>): void {
    this.settle();
    const bytes = source.byteLength;
    const status = this.#library.symbols.rt_upload(this.#context, target, source, bytes);
    this.#check(status, `upload ${bytes} bytes`);
  }

  download(target: ArrayBufferView<ArrayBuffer>, source: Address): void {
    this.settle();
    const bytes = target.byteLength;
    const status = this.#library.symbols.rt_download(this.#context, target, source, bytes);
    this.#check(status, `download ${bytes} bytes`);
  }

  copy(target: Address, source: Address, bytes: number): void {
    const status = this.#library.symbols.rt_copy(this.#context, target, source, bytes);
    this.#check(status, `copy ${bytes} bytes`);
  }

  fill(target: Address, value: number, bytes: number): void {
    const status = this.#library.symbols.rt_fill(this.#context, target, value, bytes);
    this.#check(status, `fill ${bytes} bytes`);
  }

  mapFile(path: string): MappedFile | undefined {
    if (!this.#mapsFiles) return undefined;
    const name = new TextEncoder().encode(path);
    const found = new Float64Array(2);
    const { rt_map_file, rt_unmap_file, rt_forget_pages } = this.#library.symbols;
    if (rt_map_file(this.#context, name, name.length, found) !== 0) {
      throw new LlameroError(`Cannot map "${path}": ${this.#lastError()}`);
    }
    const [address, bytes] = [found[0]!, found[1]!];
    return {
      address,
      bytes,
      forget: (part, size) => {
        const status = rt_forget_pages(this.#context, part, size);
        this.#check(status, `let go of ${size} bytes of "${path}"`);
      },
      close: () => {
        if (this.#open) this.#check(rt_unmap_file(this.#context, address), `unmap "${path}"`);
      },
    };
  }

  wait(): void {
    this.settle();
    this.#check(this.#library.symbols.rt_wait(this.#context, 0), "wait");
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#library.symbols.rt_close(this.#context);
    this.#library.close();
  }
}
