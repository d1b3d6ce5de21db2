/**
 * What `llamero bench kernels` times.
 *
 * @module
 */

import type { Backend } from "../../lib/backend/backend.ts";

/** One call to time: what bounds it, and how much of that it takes. */
export interface KernelCase {
  /** Name that the command line gives. */
  readonly kernel: string;
  /** Sizes, for the table. */
  readonly shape: string;
  /** Whether the call is timed only where products are computed in bf16. */
  readonly inBf16?: boolean;
  /** Operations, where arithmetic is the limit. */
  readonly flops?: number;
  /** Bytes, where reading memory is the limit. */
  readonly bytes?: number;
  /** Bytes of each buffer that the call needs. */
  readonly buffers: readonly number[];
  /** Puts numbers into the buffers where those in them will not do. */
  prepare?(backend: Backend, buffers: readonly number[]): void;
  /** Calls the kernel once, on buffers as `prepare` left them. */
  call(backend: Backend, buffers: readonly number[]): void;
}
