/**
 * Memory that processes of one machine share, by a file that each has mapped, and sleep on a word of it;
 * through the CUDA library (`kernels/cuda/ranks.cu`), whose ranks are the ones that meet so.
 *
 * @module
 */

import { BackendError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { cudaLibrary, REBUILD_CUDA } from "./cuda.ts";
import { loadKernelLibrary, loadSymbols } from "./library.ts";

const SYMBOLS = {
  shared_map: { parameters: ["buffer", "u32", "f64"], result: "f64" },
  shared_unmap: { parameters: ["f64", "f64"], result: "i32" },
  shared_sleep: { parameters: ["f64", "i32", "u32"], result: "void" },
  shared_wake: { parameters: ["f64"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** A file that processes map together, to meet and wake one another in. */
export interface SharedFile {
  /** Its bytes, which change as other processes write them. */
  readonly bytes: ArrayBuffer;
  /** Sleeps until the word at an offset is another than `seen` and is woken, at most so long. */
  sleep(at: number, options: { readonly seen: number; readonly atMostMs: number }): void;
  /** Wakes all who sleep on the word at an offset. */
  wake(at: number): void;
  /** Unmaps it: `bytes` must not be touched any more. */
  close(): void;
}

/**
 * Maps a file that other processes map too.
 *
 * @param bytes Its length.
 * @throws {Unavailable} Where the CUDA library is absent or stale.
 * @throws {BackendError} Where it cannot be mapped.
 */
export function mapSharedFile(
  path: string,
  { bytes, library: named }: { readonly bytes: number; readonly library?: string | undefined },
): SharedFile {
  const from = named ?? cudaLibrary();
  loadKernelLibrary(from, REBUILD_CUDA).close();
  const library = loadSymbols(from!, { symbols: SYMBOLS, rebuild: REBUILD_CUDA });
  const { shared_map, shared_unmap, shared_sleep, shared_wake } = library.symbols;
  const name = new TextEncoder().encode(path);
  const address = shared_map(name, name.length, bytes);
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) {
    library.close();
    throw new BackendError(`Cannot share memory with other processes: ${quotedPath(path)}`);
  }
  return {
    bytes: Deno.UnsafePointerView.getArrayBuffer(pointer, bytes),
    sleep: (at, { seen, atMostMs }) => shared_sleep(address + at, seen, Math.ceil(atMostMs)),
    wake: (at) => shared_wake(address + at),
    close() {
      shared_unmap(address, bytes);
      library.close();
    },
  };
}
