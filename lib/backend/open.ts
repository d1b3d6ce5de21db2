/**
 * Opens a backend by name, or the best one that is there.
 *
 * @module
 */

import { asError, BackendError, type TriedBackend, UsageError } from "../base/errors.ts";
import type { Backend, BackendName, PassedOver } from "./backend.ts";
import { type CudaOptions, openCuda, probeCuda } from "./cuda.ts";
import { loadNativeLibrary, openNative } from "./native.ts";
import { automaticThreads } from "./threads.ts";
import { Unavailable } from "./unavailable.ts";
import { openWasm } from "./wasm.ts";
import { wasmModule } from "./wasm_module.ts";

/** How to open a backend. */
export interface OpenBackendOptions {
  /** A backend's name, or `auto` (the default): CUDA, then native, then WebAssembly. */
  readonly backend?: "auto" | BackendName;
  /** Threads of the pool, the caller's included, or `auto` (the default): what the machine has free. */
  readonly threads?: number | "auto";
  /** Whether `auto` leaves GPUs out: they have no kernels for texts, and quantize nothing. */
  readonly processor?: boolean;
  /** Ranks of one run on this machine, which divide what it has free. @default {1} */
  readonly ranks?: number;
  /** Which GPU is taken, and through which library. */
  readonly cuda?: Pick<CudaOptions, "library" | "localRank"> | undefined;
}

/** Whether a backend can be opened here. */
export interface Availability {
  /** The backend's name. */
  readonly name: BackendName;
  /** Whether it can be opened. */
  readonly available: boolean;
  /** Why not, or what it is. */
  readonly reason: string;
}

interface CandidateOptions {
  readonly threads: number;
  readonly passedOver: readonly PassedOver[];
  readonly cuda: OpenBackendOptions["cuda"];
}

interface Candidate {
  readonly name: BackendName;
  /** Opens it. @throws {Unavailable} */
  open(options: CandidateOptions): Promise<Backend>;
  /** Resolves when it could be opened. @throws {Unavailable} */
  probe(cudaLibrary: string | undefined): Promise<void>;
}

/** Every backend, the preferred one first. */
const CANDIDATES: readonly Candidate[] = [
  {
    name: "cuda",
    open: ({ passedOver, cuda }) =>
      new Promise((resolve) => resolve(openCuda({ ...cuda, passedOver }))),
    probe: (library) =>
      new Promise((resolve) => {
        probeCuda(library);
        resolve();
      }),
  },
  {
    name: "native",
    open: ({ threads, passedOver }) =>
      new Promise((resolve) => resolve(openNative({ threads, passedOver }))),
    probe: () =>
      new Promise((resolve) => {
        loadNativeLibrary().close();
        resolve();
      }),
  },
  {
    name: "wasm",
    open: ({ threads, passedOver }) => openWasm({ threads, passedOver }),
    probe: async () => void await wasmModule(),
  },
];

/** Names of all backends, the preferred one first. */
export const BACKEND_NAMES: readonly BackendName[] = CANDIDATES.map(({ name }) => name);

function checkedThreads({ threads = "auto", ranks }: OpenBackendOptions): number {
  if (threads === "auto") return automaticThreads(ranks);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 1024) return threads;
  throw new UsageError(`Cannot use ${threads} threads: 1 to 1024 or "auto" was wanted`);
}

/** The first candidate that opens; the others' reasons go with it, or into the error. */
async function openFirst(
  candidates: readonly Candidate[],
  options: Pick<CandidateOptions, "threads" | "cuda">,
): Promise<Backend> {
  const passedOver: PassedOver[] = [];
  for (const candidate of candidates) {
    try {
      return await candidate.open({ ...options, passedOver });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      const reason = error.stale && error.hint ? `${error.message}; ${error.hint}` : error.message;
      passedOver.push({ name: candidate.name, reason, warn: error.stale });
    }
  }
  const tried: TriedBackend[] = passedOver.map(({ name, reason }) => ({ name, reason }));
  const list = tried.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  throw new BackendError(`Cannot open a backend: ${list}`, { tried, hint: "llamero doctor" });
}

/**
 * Opens a backend. With `auto`, the ones passed over and why stand in `passedOver` of the result.
 *
 * @example
 * ```ts
 * const backend = await openBackend({ backend: "wasm", threads: 2 });
 * const x = backend.alloc(4 * 16);
 * backend.close();
 * ```
 * @throws {BackendError} When the one named, or none of all, can be opened.
 * @throws {UsageError} When the name or the number of threads is not valid.
 */
export async function openBackend(options: OpenBackendOptions = {}): Promise<Backend> {
  const threads = checkedThreads(options);
  const { backend: wanted = "auto", cuda } = options;
  if (wanted === "auto") {
    const usable = CANDIDATES.filter(({ name }) => !options.processor || name !== "cuda");
    return await openFirst(usable, { threads, cuda });
  }
  const candidate = CANDIDATES.find(({ name }) => name === wanted);
  if (candidate === undefined) {
    throw new UsageError(
      `Cannot open the backend "${wanted}": auto, ${BACKEND_NAMES.join(", ")} are known`,
    );
  }
  try {
    return await candidate.open({ threads, cuda, passedOver: [] });
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw new BackendError(`Cannot open the backend "${wanted}": ${error.message}`, {
      hint: error.hint,
      tried: [{ name: wanted, reason: error.message }],
      cause: error,
    });
  }
}

/** Which backends can be opened here, the preferred one first, and why the others cannot. */
export async function availableBackends(cudaLibrary?: string): Promise<Availability[]> {
  return await Promise.all(CANDIDATES.map(async ({ name, probe }) => {
    try {
      await probe(cudaLibrary);
      return { name, available: true, reason: "ready" };
    } catch (error) {
      return { name, available: false, reason: asError(error).message };
    }
  }));
}
