/**
 * The products of a training step, and the optimizers.
 *
 * @module
 */

import {
  f32,
  inout,
  input,
  type Kernel,
  maybeOutput,
  output,
  type Parameter,
  size,
  u32,
} from "./kernel.ts";

const moments: Readonly<Record<string, Parameter>> = {
  weight: inout("f32", "count"),
  m: inout("f32", "count"),
  v: inout("f32", "count"),
  grad: input("f32", "count"),
};

/** Products by strides, gradient norm and optimizer kernels. */
export const TRAINING_PRODUCT_KERNELS: Readonly<Record<string, Kernel>> = {
  gemm: {
    doc: "Product of matrices that lie in any order. out[r,c] = (accumulate ? out[r,c] : 0) + " +
      "sum_k a[r,k] b[c,k]; element [r,k] of a lies at r a_row_stride + k a_depth_stride, [c,k] of b " +
      "at c b_column_stride + k b_depth_stride, one stride of each pair being 1. a and b are f32 or " +
      "bf16; with precision bf16 both are rounded to it, sums stay f32. b_packed: b is what " +
      "`gemm_pack` made of it for this precision. The order of a sum depends on depth alone.",
    source: "Goto & van de Geijn 2008; Van Zee & van de Geijn 2015 (BLIS)",
    params: {
      out: output("f32", "rows columns"),
      a: input("a_dtype", "rows depth"),
      b: input("b_dtype", "columns depth"),
      a_dtype: u32,
      b_dtype: u32,
      rows: u32,
      columns: u32,
      depth: u32,
      a_row_stride: u32,
      a_depth_stride: u32,
      b_column_stride: u32,
      b_depth_stride: u32,
      out_stride: u32,
      accumulate: u32,
      precision: u32,
      b_packed: u32,
    },
    bytes: "rows * columns * 4 + rows * depth * bytes(a_dtype) + columns * depth * bytes(b_dtype)",
    flops: "2 * rows * columns * depth",
  },
  gemm_pack: {
    doc:
      "Brings b of `gemm` into the order in which its inner loop reads it, once for many products. " +
      "packed takes (columns + 63) (depth + 1) elements of the precision; its layout is the " +
      "backend's own. Precision bf16 only where the processor multiplies bf16.",
    source: "Goto & van de Geijn 2008, section 5",
    params: {
      packed: output("precision", "packed_elements"),
      b: input("b_dtype", "columns depth"),
      b_dtype: u32,
      columns: u32,
      depth: u32,
      b_column_stride: u32,
      b_depth_stride: u32,
      precision: u32,
      packed_elements: size,
    },
    bytes: "columns * depth * (bytes(b_dtype) + bytes(precision))",
    flops: "0",
  },
  square_sum: {
    doc:
      "Adds the squares of x to sum[0], in double precision in an order that count alone decides.",
    source: "Pascanu et al. 2013, algorithm 1",
    params: { sum: inout("f64", "1"), x: input("f32", "count"), count: size },
    bytes: "count * 4",
    flops: "count * 2",
  },
  square_sums: {
    doc:
      "The sums that `square_sum` adds up, one for each part of 32768 elements of x, so that ranks " +
      "that have parts of a tensor add in the same order as one that has all. parts = ceil(count / 32768).",
    source: "Pascanu et al. 2013, algorithm 1; Rajbhandari et al. 2020, section 5",
    params: {
      sums: output("f64", "parts"),
      x: input("f32", "count"),
      parts: size,
      count: size,
    },
    bytes: "count * 4",
    flops: "count * 2",
  },
  clip_scale: {
    doc: "Turns the sum of the squares of all gradients into the factor that clips them: " +
      "clip[0] = norm = sqrt(sum[0]); clip[1] = min(1, limit / norm), 1 where limit is 0; clip[2] = 1 " +
      "where norm and the square of clip[1] norm are finite in f32, else 0: then no optimizer moves.",
    source: "Pascanu et al. 2013, algorithm 1",
    params: { clip: output("f32", "3"), sum: input("f64", "1"), limit: f32 },
    bytes: "20",
    flops: "2",
  },
  adamw: {
    doc:
      "One AdamW step. g = clip[1] grad; m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g^2; " +
      "weight -= lr (m / bias1 / (sqrt(v / bias2) + eps) + decay weight); compute = weight. Nothing " +
      "changes where clip[2] is 0. hyper = lr, beta1, beta2, eps, decay, bias1 = 1 - beta1^t, " +
      "bias2 = 1 - beta2^t. Moments that are subnormal become 0.",
    source: "Loshchilov & Hutter 2019, algorithm 2",
    params: {
      ...moments,
      hyper: input("f64", "7"),
      clip: input("f32", "3"),
      compute: maybeOutput("bf16", "count"),
      count: size,
    },
    bytes: "count * 28",
    flops: "count * 14",
  },
  adafactor: {
    doc: "One step of PaLM's Adafactor on a whole tensor, unfactored, with parameter scaling. " +
      "g = clip[1] grad; v = beta2 v + (1-beta2) (g^2 + 1e-30); y = g / sqrt(v); " +
      "y /= max(1, rms(y) / limit) where limit > 0; m = beta1 m + (1-beta1) lr max(rms(weight), 1e-3) y; " +
      "weight = (1 - decay) weight - m; compute = weight. Nothing changes where clip[2] is 0. " +
      "hyper = lr, beta1, beta2, limit, decay. Moments that are subnormal become 0.",
    source: "Shazeer & Stern 2018; Chowdhery et al. 2022, section 5; t5x adafactor.py",
    params: {
      ...moments,
      hyper: input("f64", "5"),
      clip: input("f32", "3"),
      compute: maybeOutput("bf16", "count"),
      count: size,
    },
    bytes: "count * 40",
    flops: "count * 18",
  },
  adafactor_moments: {
    doc:
      "First half of `adafactor`, for ranks that have parts of a tensor: updates v; sums[p] = sum of " +
      "weight^2 and of y^2 before the limit, over part p of 32768 elements. parts = ceil(count / 32768). " +
      "Where clip[2] is 0 v stays and the sums are 0.",
    source: "Shazeer & Stern 2018; Rajbhandari et al. 2020, section 5",
    params: {
      sums: output("f64", "parts 2"),
      weight: input("f32", "count"),
      v: inout("f32", "count"),
      grad: input("f32", "count"),
      hyper: input("f64", "5"),
      clip: input("f32", "3"),
      parts: size,
      count: size,
    },
    bytes: "count * 16",
    flops: "count * 12",
  },
  adafactor_move: {
    doc:
      "Second half of `adafactor`: updates m and weights by v as `adafactor_moments` left it and by " +
      "totals = the sums of weight^2 and y^2 over all `whole` elements of the tensor, of which `count` " +
      "are here.",
    source: "Shazeer & Stern 2018; Rajbhandari et al. 2020, section 5",
    params: {
      weight: inout("f32", "count"),
      m: inout("f32", "count"),
      v: input("f32", "count"),
      grad: input("f32", "count"),
      totals: input("f64", "2"),
      hyper: input("f64", "5"),
      clip: input("f32", "3"),
      compute: maybeOutput("bf16", "count"),
      whole: size,
      count: size,
    },
    bytes: "count * 24",
    flops: "count * 6",
  },
};
