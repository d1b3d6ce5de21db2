/**
 * The kernels that make quantized weights, beyond `convert`.
 *
 * @module
 */

import { input, type Kernel, output, u32 } from "./kernel.ts";

/** Kernels for quantizing checkpoints. */
export const QUANTIZE_KERNELS: Readonly<Record<string, Kernel>> = {
  quantize_weighted: {
    doc:
      "Quantizes rows with an importance per column, so that errors where it is large count for " +
      "more; the block types of `convert`.",
    source: "ggml-quants.c: quantize_row_*_impl with quant_weights",
    params: {
      out: output("out_dtype", "rows dim"),
      x: input("f32", "rows dim"),
      importance: input("f32", "dim"),
      out_dtype: u32,
      rows: u32,
      dim: u32,
    },
    bytes: "rows * dim * (4 + bytes(out_dtype))",
    flops: "rows * dim",
  },
};
