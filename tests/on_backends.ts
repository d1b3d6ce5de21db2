/**
 * Registers a test once per backend, so that every backend proves the same sentence.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { availableBackends, openBackend } from "../lib/backend/open.ts";
import type { Backend, BackendName } from "../lib/backend/backend.ts";
import { openCuda } from "../lib/backend/cuda.ts";
import { EMULATED_LIBRARY } from "../scripts/build_cuda.ts";

const AVAILABLE = await availableBackends();
const NAMES: readonly BackendName[] = ["wasm", "native"];

/** What a test on a backend gets. */
export interface OnBackend {
  /** The backend's name. */
  readonly name: BackendName;
  /** Opens it; the test closes it, with `using` or by hand. */
  open(threads?: number): Promise<OpenForTest>;
}

/** An open backend that `using` closes. */
export type OpenForTest = Disposable & { readonly backend: Backend };

/** How a test on backends is registered. */
export interface OnBackendsOptions {
  /** Why the test cannot run anywhere here, or nothing. */
  readonly ignored?: string | undefined;
  /** The only backend that the sentence is about. */
  readonly only?: BackendName;
  /** Whether it is about what is above the kernels: then the quickest backend that is here proves it alone. */
  readonly quickest?: boolean;
  /** Whether the GPU's kernels prove it too: on a GPU, or where it is quick emulated on the processor. */
  readonly gpu?: boolean | "hardware";
}

const NO_GPU = AVAILABLE.find(({ name }) => name === "cuda")!;

/** What proves a sentence about the GPU's kernels here, or why nothing can. */
function gpuBackend(
  hardware: boolean,
): { readonly how: string; readonly open?: () => Promise<Backend> } {
  if (NO_GPU.available) return { how: "cuda", open: () => openBackend({ backend: "cuda" }) };
  if (hardware) return { how: `cuda (ignored: ${NO_GPU.reason})` };
  if (!existsSync(EMULATED_LIBRARY)) {
    return { how: `cuda (ignored: ${NO_GPU.reason}; deno task build:cuda --emulated)` };
  }
  const open = () => Promise.resolve(openCuda({ library: EMULATED_LIBRARY }));
  return { how: "cuda, emulated", open };
}

function onGpu(
  name: string,
  { body, hardware }: {
    readonly body: (on: OnBackend) => Promise<void>;
    readonly hardware: boolean;
  },
): void {
  const { how, open } = gpuBackend(hardware);
  if (open === undefined) {
    Deno.test({ name: `${name} (${how})`, ignore: true, fn: () => {} });
    return;
  }
  const opened = async (): Promise<OpenForTest> => {
    const backend = await open();
    return { backend, [Symbol.dispose]: () => backend.close() };
  };
  Deno.test(`${name} (${how})`, () => body({ name: "cuda", open: opened }));
}

function namesOf({ only, quickest = false }: OnBackendsOptions): readonly BackendName[] {
  if (only !== undefined) return [only];
  const native = AVAILABLE.find(({ name }) => name === "native")!;
  return quickest ? [native.available ? "native" : "wasm"] : NAMES;
}

/** Registers `name` for each CPU backend; one that is not built here is listed with the reason. */
export function onBackends(
  name: string,
  body: (on: OnBackend) => Promise<void>,
  options: OnBackendsOptions = {},
): void {
  if (options.gpu) onGpu(name, { body, hardware: options.gpu === "hardware" });
  if (options.only === "cuda") return;
  for (const backend of namesOf(options)) {
    const found = AVAILABLE.find((one) => one.name === backend);
    const reason = options.ignored ?? (found?.available ? undefined : found?.reason ?? "unknown");
    const full = `${name} (${backend})`;
    if (reason !== undefined) {
      Deno.test({ name: `${full} (ignored: ${reason})`, ignore: true, fn: () => {} });
      continue;
    }
    const open = async (threads = 1): Promise<OpenForTest> => {
      const opened = await openBackend({ backend, threads });
      await opened.ready();
      return { backend: opened, [Symbol.dispose]: () => opened.close() };
    };
    Deno.test(full, () => body({ name: backend, open }));
  }
}
