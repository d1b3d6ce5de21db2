/**
 * The kernel ABI: every kernel once. From this table come the `Deno.dlopen` definitions, the
 * WebAssembly wrappers, the typed named arguments (`lib/backend/kernels.generated.ts`), the Rust
 * exports (`kernels/cpu/src/abi_generated.rs`) and the C prototypes (`kernels/cuda/abi_generated.h`);
 * `deno run -A scripts/generate_abi.ts` writes them, `--check` compares.
 *
 * Conventions: the first argument of every kernel is its context. A tensor argument is an address in
 * the memory of that backend, as a number. A kernel returns 0, or a status whose text `last_error`
 * gives; it never throws, aborts or allocates. Shapes are outermost first; a weight is [out, in].
 * Strides are in elements. Dtypes are the codes of `DTYPE_CODES`. The order of every sum depends on
 * the inner dimension alone.
 *
 * @module
 */

import { INFERENCE_KERNELS } from "./table/inference.ts";
import { type Kernel } from "./table/kernel.ts";
import { MACHINE_KERNELS } from "./table/machine.ts";
import { QUANTIZE_KERNELS } from "./table/quantize.ts";
import { TEXT_KERNELS } from "./table/text.ts";
import { TEXT_TRAIN_KERNELS } from "./table/text_train.ts";
import { TRAINING_KERNELS } from "./table/training.ts";
import { TRAINING_PRODUCT_KERNELS } from "./table/training_products.ts";

export type { Kernel, Parameter, ScalarType } from "./table/kernel.ts";
export { RUNTIME, type RuntimeFunction, type RuntimeType } from "./table/runtime.ts";

/** Codes of element and block types as they cross the ABI; the numbers are GGUF's. */
export const DTYPE_CODES = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q5_0: 6,
  q5_1: 7,
  q8_0: 8,
  q2_k: 10,
  q3_k: 11,
  q4_k: 12,
  q5_k: 13,
  q6_k: 14,
  i8: 24,
  i32: 26,
  i64: 27,
  f64: 28,
  bf16: 30,
} as const;

/** Name of an element or block type that can cross the ABI. */
export type DTypeName = keyof typeof DTYPE_CODES;

/** The table. Keys are kernel names; the exported symbol is `k_<name>`. */
export const KERNELS: Readonly<Record<string, Kernel>> = {
  ...INFERENCE_KERNELS,
  ...QUANTIZE_KERNELS,
  ...MACHINE_KERNELS,
  ...TEXT_KERNELS,
  ...TEXT_TRAIN_KERNELS,
  ...TRAINING_KERNELS,
  ...TRAINING_PRODUCT_KERNELS,
};
