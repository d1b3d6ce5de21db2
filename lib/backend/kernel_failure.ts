/**
 * The error for a kernel that refused its arguments.
 *
 * @module
 */

import { KernelError } from "../base/errors.ts";
import type { KernelName } from "./kernels.generated.ts";

/** What a kernel said and what it was called with. */
export interface KernelFailure {
  /** What `last_error` says. */
  readonly reason: string;
  /** The named arguments of the call. */
  readonly args: object;
}

/** Throws what a kernel said, with its arguments. @throws {KernelError} Always. */
export function throwKernelError(kernel: KernelName, { reason, args }: KernelFailure): never {
  const values = Object.entries(args).map(([name, value]) => `${name} ${value}`).join(", ");
  throw new KernelError(`Cannot run the kernel "${kernel}": ${reason} (${values})`);
}
