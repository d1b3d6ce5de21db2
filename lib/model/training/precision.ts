/**
 * Where bf16 trains.
 *
 * @module
 */

import type { Backend } from "../../backend/backend.ts";
import { multipliesBf16 } from "../../backend/features.ts";
import { BackendError } from "../../base/errors.ts";
import type { TrainingDType } from "./trainable.ts";

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
