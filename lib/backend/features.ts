/**
 * What a backend's processor can do beyond its instruction set's name.
 *
 * @module
 */

import type { BackendInfo } from "./backend.ts";

/** Whether a backend's products multiply bf16. */
export function multipliesBf16({ isa, features }: BackendInfo): boolean {
  return isa === "avx512" && features.includes("avx512bf16");
}
