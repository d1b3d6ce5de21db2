/**
 * Where bf16 trains.
 *
 * @module
 */

import type { Backend, BackendInfo } from "../../backend/backend.ts";
import { BackendError } from "../../base/errors.ts";
import type { TrainingDType } from "./trainable.ts";

/** Whether a backend's products multiply bf16. */
export function multipliesBf16({ isa, features }: BackendInfo): boolean {
  return isa === "avx512" && features.includes("avx512bf16");
}

/** Refuses an element type that products cannot be computed in. @throws {BackendError} When a backend cannot compute products in the element type. */
export function checkPrecision(backend: Backend, dtype: TrainingDType): void {
  if (dtype === "f32" || multipliesBf16(backend.info)) return;
  const { isa } = backend.info;
  throw new BackendError(
    `Cannot train in bf16: the ${backend.name} backend computes with ${isa}, ` +
      "a processor with avx512bf16 and its native kernels were wanted",
    { hint: "--dtype f32" },
  );
}
