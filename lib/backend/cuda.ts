/**
 * The CUDA backend: kernels for NVIDIA GPUs as a shared library, through `Deno.dlopen`. A process has
 * one GPU, the first that `CUDA_VISIBLE_DEVICES` shows it.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

import type { Backend } from "./backend.ts";
import {
  type KernelLibrary,
  LibraryBackend,
  loadKernelLibrary,
  openFailure,
  type OpenOptions,
} from "./library.ts";
import { Unavailable } from "./unavailable.ts";

const REBUILD = "deno task build:cuda";
const FILE_NAME = Deno.build.os === "windows" ? "llamero_cuda.dll" : "libllamero_cuda.so";

/** Where the library is looked for: beside the sources of this program, never in the caller's folder. */
export function cudaLibrary(): string | undefined {
  const url = new URL(`../../kernels/cuda/built/${FILE_NAME}`, import.meta.url);
  return url.protocol === "file:" ? fileURLToPath(url) : undefined;
}

function openContext(path: string | undefined): [library: KernelLibrary, context: number] {
  const library = loadKernelLibrary(path, REBUILD);
  const context = library.symbols.rt_open(1);
  if (context !== 0) return [library, context];
  const reason = openFailure(library);
  library.close();
  throw new Unavailable(reason);
}

/** Opens the GPU and closes it again. @throws {Unavailable} When it cannot be used. */
export function probeCuda(): void {
  const [library, context] = openContext(cudaLibrary());
  library.symbols.rt_close(context);
  library.close();
}

/**
 * Opens a context on the GPU; threads are the GPU's affair.
 *
 * @throws {Unavailable} When the library is absent or stale, or there is no GPU.
 */
export function openCuda(options: Pick<OpenOptions, "library" | "passedOver">): Backend {
  const [library, context] = openContext(options.library ?? cudaLibrary());
  const { passedOver = [] } = options;
  return new LibraryBackend({ name: "cuda", library, context, mapsFiles: false, passedOver });
}
