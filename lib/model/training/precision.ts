/**
 * Where bf16 trains.
 *
 * @module
 */

import type { Backend } from "../../backend/backend.ts";
import { multipliesBf16 } from "../../backend/features.ts";
import { BackendError } from "../../base/errors.ts";
import type { TrainingDType } from "./trainable.ts";

/** Whether a backend computes products in bf16 while it trains: every GPU does, and processors that say so. */
export function trainsBf16({ name, info }: Pick<Backend, "name" | "info">): boolean {
  return name === "cuda" || multipliesBf16(info);
}

/** Refuses an element type that products cannot be computed in. @throws {BackendError} When a backend cannot compute products in the element type. */
export function checkPrecision(backend: Backend, dtype: TrainingDType): void {
  if (dtype === "f32" || trainsBf16(backend)) return;
  const { isa } = backend.info;
  throw new BackendError(
    `Cannot train in bf16: the ${backend.name} backend computes with ${isa}, ` +
      "a processor with avx512bf16 and its native kernels, or a GPU, was wanted",
    { hint: "--dtype f32" },
  );
}
