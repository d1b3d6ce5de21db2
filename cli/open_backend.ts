/**
 * Opens the backend that the options ask for, and says which it is and why.
 *
 * @module
 */

import type { Backend } from "../lib/backend/backend.ts";
import { openBackend, type OpenBackendOptions } from "../lib/backend/open.ts";
import type { ComputeOptions } from "./options.ts";
import type { Log } from "./ui/log.ts";

/** Opens a backend; a library that is stale is a warning, what else was passed over a detail. */
export async function openBackendFor(
  options: Pick<ComputeOptions, "backend" | "threads"> & {
    /** Ranks of one run on this machine. */
    readonly ranks?: number;
    /** Whether only the processor can do the work: see `OpenBackendOptions`. */
    readonly processor?: boolean;
    /** Which GPU is taken: see `OpenBackendOptions`. */
    readonly cuda?: OpenBackendOptions["cuda"];
  },
  log: Log,
): Promise<Backend> {
  const { backend: name, threads: wanted, ranks = 1, processor = false, cuda } = options;
  const backend = await openBackend({ backend: name, threads: wanted, ranks, processor, cuda });
  for (const { name, reason, warn } of backend.passedOver) {
    const text = `the ${name} backend was not taken: ${reason}`;
    if (warn) log.warn(text);
    else log.detail(text);
  }
  const { isa, threads } = backend.info;
  log.detail(`backend ${backend.name}: ${isa}, ${threads} ${threads === 1 ? "thread" : "threads"}`);
  return backend;
}
