/**
 * Registers a test once per backend, so that every backend proves the same sentence.
 *
 * @module
 */

import { availableBackends, openBackend } from "../lib/backend/open.ts";
import type { Backend, BackendName } from "../lib/backend/backend.ts";

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
}

/** Registers `name` for each CPU backend; one that is not built here is listed with the reason. */
export function onBackends(
  name: string,
  body: (on: OnBackend) => Promise<void>,
  options: OnBackendsOptions = {},
): void {
  for (const backend of options.only === undefined ? NAMES : [options.only]) {
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
