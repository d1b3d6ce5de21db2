/**
 * The kernels that a forward pass needs.
 *
 * @module
 */

import { f32, inout, input, type Kernel, maybe, output, size, u32 } from "./kernel.ts";

/** Forward kernels, in the order in which a decoder uses them. */
export const INFERENCE_KERNELS: Readonly<Record<string, Kernel>> = {
  embedding: {
    doc: "Gathers rows of a table. out[r,:] = table[ids[r],:]",
    source: "Vaswani et al. 2017, section 3.4",
    params: {
      out: output("f32", "rows dim"),
      table: input("table_dtype", "vocab dim"),
      ids: input("i32", "rows"),
      table_dtype: u32,
      rows: u32,
      vocab: u32,
      dim: u32,
    },
    bytes: "rows * dim * (4 + bytes(table_dtype))",
    flops: "0",
  },
  rms_norm: {
    doc: "Root mean square normalization. out[r,:] = weight * x[r,:] / sqrt(mean(x[r,:]^2) + eps)",
    source: "Zhang & Sennrich 2019, eq. 4",
    params: {
      out: output("f32", "rows dim"),
      x: input("f32", "rows dim"),
      weight: input("f32", "dim"),
      rows: u32,
      dim: u32,
      eps: f32,
    },
    bytes: "rows * dim * 8 + dim * 4",
    flops: "rows * dim * 4",
  },
  layer_norm: {
    doc: "Layer normalization with the biased variance; without `bias` the scale alone. " +
      "out[r,:] = weight * (x[r,:] - mean) / sqrt(var + eps) + bias",
    source: "Ba et al. 2016, eq. 4",
    params: {
      out: output("f32", "rows dim"),
      x: input("f32", "rows dim"),
      weight: input("f32", "dim"),
      bias: maybe("f32", "dim"),
      rows: u32,
      dim: u32,
      eps: f32,
    },
    bytes: "rows * dim * 8 + dim * 8",
    flops: "rows * dim * 7",
  },
  matmul: {
    doc:
      "Product with a weight. out[m,n] = (accumulate ? out[m,n] : 0) + sum_k x[m,k] weight[n,k]. " +
      "x is f32, or rows made by `convert`: q8_0 for weights of a block type, bf16 for those of bf16; " +
      "weight is f32, f16, bf16 or a block type. An element's sum has the same order for every number of rows.",
    source: "row-wise dot products as in llamafile's tinyBLAS",
    params: {
      out: inout("f32", "rows out_dim"),
      x: input("x_dtype", "rows in_dim"),
      weight: input("weight_dtype", "out_dim in_dim"),
      x_dtype: u32,
      weight_dtype: u32,
      rows: u32,
      out_dim: u32,
      in_dim: u32,
      x_stride: u32,
      out_stride: u32,
      accumulate: u32,
    },
    bytes:
      "rows * in_dim * bytes(x_dtype) + out_dim * in_dim * bytes(weight_dtype) + rows * out_dim * 4",
    flops: "2 * rows * out_dim * in_dim",
  },
  repack: {
    doc:
      "Interleaves the rows of a block type by sixteen, as `matmul_repacked` reads them; out may be " +
      "x. What stood at byte b of a row's block stands at 16 b + row * piece of the group's, where a " +
      "piece is two bytes for half-precision numbers and four for the rest; rows past the last " +
      "sixteen stay as they are.",
    source: "interleaved rows as in llama.cpp's ggml-cpu/repack.cpp, another order",
    params: {
      out: output("dtype", "rows dim"),
      x: input("dtype", "rows dim"),
      dtype: u32,
      rows: u32,
      dim: u32,
    },
    bytes: "rows * dim * 2 * bytes(dtype)",
    flops: "0",
  },
  matmul_repacked: {
    doc:
      "`matmul` of q8_0 rows by a weight of a block type other than q8_0 that `repack` made, with " +
      "the same bits. out[m,n] = (accumulate ? out[m,n] : 0) + sum_k x[m,k] weight[n,k]",
    source: "lanes are columns, as in llama.cpp's ggml-cpu/repack.cpp",
    params: {
      out: inout("f32", "rows out_dim"),
      x: input("q8_0", "rows in_dim"),
      weight: input("weight_dtype", "out_dim in_dim"),
      weight_dtype: u32,
      rows: u32,
      out_dim: u32,
      in_dim: u32,
      x_stride: u32,
      out_stride: u32,
      accumulate: u32,
    },
    bytes:
      "rows * in_dim * bytes(q8_0) + out_dim * in_dim * bytes(weight_dtype) + rows * out_dim * 4",
    flops: "2 * rows * out_dim * in_dim",
  },
  convert: {
    doc: "Converts rows between element types: f32 to f16, bf16 or q8_0, and any type to f32.",
    source: "IEEE 754 round to nearest even; ggml's block formats",
    params: {
      out: output("out_dtype", "rows dim"),
      x: input("x_dtype", "rows dim"),
      out_dtype: u32,
      x_dtype: u32,
      rows: u32,
      dim: u32,
    },
    bytes: "rows * dim * (bytes(x_dtype) + bytes(out_dtype))",
    flops: "rows * dim",
  },
  rope: {
    doc:
      "Rotary position embedding in place, angles given as a table of (cos, sin) per row made in " +
      "double precision. layout 0 rotates halves (i, i + head_dim/2), 1 adjacent pairs (2i, 2i+1). " +
      "`stride` is the distance of rows of x.",
    source: "Su et al. 2021, eq. 34",
    params: {
      x: inout("f32", "rows heads head_dim"),
      table: input("f32", "rows head_dim/2 2"),
      rows: u32,
      heads: u32,
      head_dim: u32,
      stride: u32,
      layout: u32,
    },
    bytes: "rows * heads * head_dim * 8",
    flops: "rows * heads * head_dim * 3",
  },
  kv_store: {
    doc: "Writes keys or values into the paged cache. " +
      "cache[slots[r] / page_size, h, slots[r] % page_size, :] = x[r,h,:]",
    source: "Kwon et al. 2023, section 4.1",
    params: {
      cache: output("cache_dtype", "pages kv_heads page_size head_dim"),
      x: input("f32", "rows kv_heads head_dim"),
      slots: input("i32", "rows"),
      cache_dtype: u32,
      rows: u32,
      kv_heads: u32,
      head_dim: u32,
      stride: u32,
      pages: u32,
      page_size: u32,
    },
    bytes: "rows * kv_heads * head_dim * (4 + bytes(cache_dtype))",
    flops: "0",
  },
  attention: {
    doc: "Causal attention of query rows over a paged cache. Row r belongs to sequence " +
      "row_sequence[r] and sees its cached positions 0 .. row_position[r]. Online softmax over tiles " +
      "anchored at position 0; query head h uses kv head h / (heads / kv_heads). " +
      "page_table[s,i] is the page that holds positions i*page_size ... of sequence s.",
    source: "Dao et al. 2022, algorithm 1; Kwon et al. 2023; Ainslie et al. 2023",
    params: {
      out: output("f32", "rows heads head_dim"),
      q: input("f32", "rows heads head_dim"),
      keys: input("cache_dtype", "pages kv_heads page_size head_dim"),
      values: input("cache_dtype", "pages kv_heads page_size head_dim"),
      page_table: input("i32", "sequences max_pages"),
      row_sequence: input("i32", "rows"),
      row_position: input("i32", "rows"),
      cache_dtype: u32,
      rows: u32,
      heads: u32,
      kv_heads: u32,
      head_dim: u32,
      pages: u32,
      page_size: u32,
      sequences: u32,
      max_pages: u32,
      q_stride: u32,
      out_stride: u32,
      scale: f32,
    },
    bytes: "rows * heads * head_dim * 8",
    flops: "0",
  },
  swiglu: {
    doc: "Gated activation. out[r,f] = silu(gate[r,f]) * up[r,f]",
    source: "Shazeer 2020, eq. 6",
    params: {
      out: output("f32", "rows dim"),
      gate: input("f32", "rows dim"),
      up: input("f32", "rows dim"),
      rows: u32,
      dim: u32,
      gate_stride: u32,
      up_stride: u32,
    },
    bytes: "rows * dim * 12",
    flops: "rows * dim * 5",
  },
  add: {
    doc: "Adds in place. out[i] += x[i]",
    source: "He et al. 2015, eq. 1",
    params: { out: inout("f32", "count"), x: input("f32", "count"), count: size },
    bytes: "count * 12",
    flops: "count",
  },
  scale: {
    doc: "Multiplies in place by one number. x[i] *= factor",
    source: "Chowdhery et al. 2022, section 2 (logits times 1/sqrt(d))",
    params: { x: inout("f32", "count"), factor: f32, count: size },
    bytes: "count * 8",
    flops: "count",
  },
  softmax: {
    doc: "Softmax of rows. out[r,:] = exp(x[r,:] - max) / sum",
    source: "Milakov & Gimelshein 2018, algorithm 2",
    params: {
      out: output("f32", "rows dim"),
      x: input("f32", "rows dim"),
      rows: u32,
      dim: u32,
    },
    bytes: "rows * dim * 8",
    flops: "rows * dim * 5",
  },
  argmax: {
    doc: "Index of the largest element of each row, the lowest index on ties; NaN never wins.",
    source: "greedy decoding",
    params: { out: output("i32", "rows"), x: input("f32", "rows dim"), rows: u32, dim: u32 },
    bytes: "rows * dim * 4",
    flops: "0",
  },
  score: {
    doc:
      "Log-probability of a target and log-sum-exp per row. log_z[r] = log sum exp logits[r,:]; " +
      "log_prob[r] = logits[r,targets[r]] - log_z[r], 0 where the target is negative.",
    source: "DESIGN section 3: the head's score",
    params: {
      log_prob: output("f32", "rows"),
      log_z: output("f32", "rows"),
      logits: input("f32", "rows vocab"),
      targets: input("i32", "rows"),
      rows: u32,
      vocab: u32,
    },
    bytes: "rows * vocab * 4",
    flops: "rows * vocab * 4",
  },
};
