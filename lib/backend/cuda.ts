/**
 * The CUDA backend: kernels for NVIDIA GPUs as a shared library, through `Deno.dlopen`. A context has one
 * of the GPUs that `CUDA_VISIBLE_DEVICES` shows the process.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

import type { Address, Backend } from "./backend.ts";
import { CudaLink, type CudaSymbols, libraryText, loadCudaSymbols, loadNccl } from "./cuda_link.ts";
import {
  LibraryBackend,
  type LibraryParts,
  loadKernelLibrary,
  type OpenOptions,
} from "./library.ts";
import { Unavailable } from "./unavailable.ts";

/** The command that builds the library. */
export const REBUILD_CUDA = "deno task build:cuda";
const FILE_NAME = Deno.build.os === "windows" ? "llamero_cuda.dll" : "libllamero_cuda.so";

/** Where the library is looked for: beside the sources of this program, never in the caller's folder. */
export function cudaLibrary(): string | undefined {
  const url = new URL(`../../kernels/cuda/built/${FILE_NAME}`, import.meta.url);
  return url.protocol === "file:" ? fileURLToPath(url) : undefined;
}

/** How a GPU is opened. */
export interface CudaOptions extends Pick<OpenOptions, "passedOver"> {
  /** The library to load instead of the usual one. */
  readonly library?: string | undefined;
  /**
   * Which of the machine's ranks this is: it gets the GPU with its number, and where there are fewer GPUs
   * than ranks they go round. @default {0}
   */
  readonly localRank?: number | undefined;
}

/** A context on a GPU, with its way to other GPUs. */
class CudaBackend extends LibraryBackend {
  readonly link: CudaLink;
  readonly #own: { close(): void };

  constructor(parts: LibraryParts, own: { readonly symbols: CudaSymbols; close(): void }) {
    super(parts);
    this.#own = own;
    this.link = new CudaLink(own.symbols, parts.context);
  }

  protected override settle(): void {
    this.link.settle();
  }

  override close(): void {
    if (!this.isOpen) return;
    this.link.close();
    super.close();
    this.#own.close();
  }
}

/** The library's own functions, of one that was built from this kernel table. */
function loaded(path: string | undefined) {
  const library = loadKernelLibrary(path, REBUILD_CUDA);
  return { library, own: loadCudaSymbols(path!, REBUILD_CUDA) };
}

function visible(symbols: CudaSymbols): number {
  const count = symbols.cuda_devices();
  if (count < 0) throw new Unavailable(failure(symbols));
  return count;
}

function failure({ rt_last_error }: CudaSymbols): string {
  return libraryText((text, capacity) => rt_last_error(0, text, capacity));
}

function openContext({ library: path, localRank = 0 }: CudaOptions) {
  const { library, own } = loaded(path ?? cudaLibrary());
  const close = () => {
    own.close();
    library.close();
  };
  try {
    const context: Address = own.symbols.cuda_open(localRank % Math.max(visible(own.symbols), 1));
    if (context === 0) throw new Unavailable(failure(own.symbols));
    return { library, own, context, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

/** How many GPUs this process sees. @throws {Unavailable} Where that cannot be asked. */
export function cudaDevices(path?: string): number {
  const { library, own } = loaded(path ?? cudaLibrary());
  try {
    return visible(own.symbols);
  } finally {
    own.close();
    library.close();
  }
}

/**
 * The version of NCCL, as the CUDA library finds it.
 *
 * @throws {Unavailable} Where the CUDA library is absent or stale.
 * @throws {BackendError} Where there is no NCCL, or it is too old.
 */
export function ncclVersion(
  options: { library?: string | undefined; nccl?: string | undefined } = {},
): string {
  const { library, own } = loaded(options.library ?? cudaLibrary());
  try {
    return loadNccl(own.symbols, options.nccl);
  } finally {
    own.close();
    library.close();
  }
}

/** Opens the GPU and closes it again. @throws {Unavailable} When it cannot be used. */
export function probeCuda(path?: string): void {
  const { library, context, close } = openContext({ library: path });
  library.symbols.rt_close(context);
  close();
}

/**
 * Opens a context on a GPU; threads are the GPU's affair.
 *
 * @throws {Unavailable} When the library is absent or stale, or there is no GPU.
 */
export function openCuda(options: CudaOptions): Backend {
  const { library, own, context } = openContext(options);
  const { passedOver = [] } = options;
  const parts = { name: "cuda", library, context, mapsFiles: false, passedOver } as const;
  return new CudaBackend(parts, own);
}
