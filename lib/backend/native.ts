/**
 * The native backend: the Rust kernels as a shared library of this processor, through `Deno.dlopen`.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

import { BackendError } from "../base/errors.ts";
import type { Backend } from "./backend.ts";
import {
  type KernelLibrary,
  LibraryBackend,
  loadKernelLibrary,
  type OpenOptions,
} from "./library.ts";

const FILE_NAMES: Readonly<Partial<Record<typeof Deno.build.os, string>>> = {
  darwin: "libllamero_cpu.dylib",
  windows: "llamero_cpu.dll",
};
const REBUILD = "deno task build:native";

/** Where the library is looked for: beside the sources of this program, never in the caller's folder. */
export function nativeLibrary(): string | undefined {
  const name = FILE_NAMES[Deno.build.os] ?? "libllamero_cpu.so";
  const url = new URL(`../../kernels/native/${name}`, import.meta.url);
  return url.protocol === "file:" ? fileURLToPath(url) : undefined;
}

/**
 * Loads the library and checks that it was built from this kernel table.
 *
 * @throws {Unavailable} When it is absent, cannot be loaded or is stale.
 */
export function loadNativeLibrary(path: string | undefined = nativeLibrary()): KernelLibrary {
  return loadKernelLibrary(path, REBUILD);
}

/**
 * Opens a native context of its own.
 *
 * @throws {Unavailable} When the library is absent or stale.
 */
export function openNative(options: OpenOptions): Backend {
  const library = loadNativeLibrary(options.library ?? nativeLibrary());
  const context = library.symbols.rt_open(options.threads);
  if (context === 0) {
    library.close();
    throw new BackendError(`Cannot open the native backend: no memory for a context`);
  }
  const { passedOver = [] } = options;
  return new LibraryBackend({ name: "native", library, context, mapsFiles: true, passedOver });
}
