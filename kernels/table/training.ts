/**
 * The kernels that a backward pass and an optimizer step need beyond the forward ones.
 *
 * Convention: what receives a gradient is added to where the argument is `inout` and overwritten
 * where it is `out`. Products need no kernels of their own: the gradient of an input is
 * `matmul(dy, transpose(weight))`, that of a weight `matmul(transpose(dy), transpose(x))` with
 * `accumulate`; the gradient of `rope` is `rope` with the sines negated.
 *
 * @module
 */

import {
  f32,
  inout,
  input,
  type Kernel,
  maybeInout,
  maybeOutput,
  output,
  size,
  u32,
} from "./kernel.ts";

/** Backward, loss and optimizer kernels. */
export const TRAINING_KERNELS: Readonly<Record<string, Kernel>> = {
  transpose: {
    doc: "Transposes a matrix. out[c,r] = x[r,c]; the element type is f32, bf16 or f16.",
    source: "layout of the dot-style product",
    params: {
      out: output("dtype", "columns rows"),
      x: input("dtype", "rows columns"),
      dtype: u32,
      rows: u32,
      columns: u32,
      x_stride: u32,
      out_stride: u32,
    },
    bytes: "2 * rows * columns * bytes(dtype)",
    flops: "0",
  },
  rms_norm_backward: {
    doc: "Backward of rms_norm with r = 1/sqrt(mean(x^2) + eps), n = x r: " +
      "dx += r (weight dy - n mean(weight dy n)), dweight += sum over rows of dy n.",
    source: "Zhang & Sennrich 2019, eq. 4, differentiated",
    params: {
      dx: inout("f32", "rows dim"),
      dweight: inout("f32", "dim"),
      dy: input("f32", "rows dim"),
      x: input("f32", "rows dim"),
      weight: input("f32", "dim"),
      rows: u32,
      dim: u32,
      eps: f32,
    },
    bytes: "rows * dim * 16",
    flops: "rows * dim * 12",
  },
  layer_norm_backward: {
    doc: "Backward of layer_norm (biased variance) with n = (x - mean) r: " +
      "dx += r (weight dy - mean(weight dy) - n mean(weight dy n)), dweight += sum dy n, dbias += sum dy.",
    source: "Ba et al. 2016, eq. 4, differentiated",
    params: {
      dx: inout("f32", "rows dim"),
      dweight: inout("f32", "dim"),
      dbias: maybeInout("f32", "dim"),
      dy: input("f32", "rows dim"),
      x: input("f32", "rows dim"),
      weight: input("f32", "dim"),
      rows: u32,
      dim: u32,
      eps: f32,
    },
    bytes: "rows * dim * 16",
    flops: "rows * dim * 15",
  },
  swiglu_backward: {
    doc: "Backward of swiglu with s = sigmoid(gate): dgate = dy up s (1 + gate (1 - s)), " +
      "dup = dy gate s; all row strides in elements.",
    source: "Shazeer 2020, eq. 6, differentiated",
    params: {
      dgate: output("f32", "rows dim"),
      dup: output("f32", "rows dim"),
      dy: input("f32", "rows dim"),
      gate: input("f32", "rows dim"),
      up: input("f32", "rows dim"),
      rows: u32,
      dim: u32,
      gate_stride: u32,
      up_stride: u32,
      dgate_stride: u32,
      dup_stride: u32,
    },
    bytes: "rows * dim * 20",
    flops: "rows * dim * 12",
  },
  attention_forward: {
    doc: "Causal attention of whole sequences for training. Row r sees rows starts[r] .. r (the " +
      "first row of its document or sequence, and nothing after itself); log_z[r,h] keeps the log of " +
      "the softmax's sum for the backward. Online softmax over tiles, never rows x rows memory.",
    source: "Dao 2023 (FlashAttention-2), algorithm 1",
    params: {
      out: output("f32", "rows heads head_dim"),
      log_z: output("f32", "rows heads"),
      q: input("f32", "rows heads head_dim"),
      k: input("f32", "rows kv_heads head_dim"),
      v: input("f32", "rows kv_heads head_dim"),
      starts: input("i32", "rows"),
      rows: u32,
      heads: u32,
      kv_heads: u32,
      head_dim: u32,
      q_stride: u32,
      k_stride: u32,
      v_stride: u32,
      out_stride: u32,
      scale: f32,
    },
    bytes: "rows * (2 * heads + 2 * kv_heads) * head_dim * 4",
    flops: "0",
  },
  attention_backward: {
    doc:
      "Backward of attention_forward, scores recomputed tile by tile: P = exp(scale q k - log_z), " +
      "dv += P^T dout, dP = dout v, dS = P (dP - rowsum(dout out)), dq = scale dS k, " +
      "dk = scale dS^T q; a kv head sums over its query heads in order.",
    source: "Dao 2023 (FlashAttention-2), algorithm 2",
    params: {
      dq: output("f32", "rows heads head_dim"),
      dk: output("f32", "rows kv_heads head_dim"),
      dv: output("f32", "rows kv_heads head_dim"),
      dout: input("f32", "rows heads head_dim"),
      out: input("f32", "rows heads head_dim"),
      log_z: input("f32", "rows heads"),
      q: input("f32", "rows heads head_dim"),
      k: input("f32", "rows kv_heads head_dim"),
      v: input("f32", "rows kv_heads head_dim"),
      starts: input("i32", "rows"),
      rows: u32,
      heads: u32,
      kv_heads: u32,
      head_dim: u32,
      q_stride: u32,
      k_stride: u32,
      v_stride: u32,
      out_stride: u32,
      scale: f32,
    },
    bytes: "rows * (4 * heads + 4 * kv_heads) * head_dim * 4",
    flops: "0",
  },
  cross_entropy: {
    doc: "Loss and its gradient in place of the logits. log_z = log sum exp logits; " +
      "log_prob = logits[target] - log_z (0 where the target is negative); then " +
      "logits <- weight (softmax - onehot(target)) + weight 2 z_loss log_z softmax, " +
      "0 where the target is negative.",
    source: "Chowdhery et al. 2022, section 5 (z-loss)",
    params: {
      logits: inout("f32", "rows vocab"),
      log_prob: output("f32", "rows"),
      log_z: output("f32", "rows"),
      targets: input("i32", "rows"),
      weights: input("f32", "rows"),
      rows: u32,
      vocab: u32,
      z_loss: f32,
    },
    bytes: "rows * vocab * 12",
    flops: "rows * vocab * 8",
  },
  embedding_backward: {
    doc:
      "Backward of embedding: dtable[ids[r],:] += dy[r,:], rows in order, so that equal ids add up " +
      "the same way whatever the threads.",
    source: "Vaswani et al. 2017, section 3.4, differentiated",
    params: {
      dtable: inout("f32", "vocab dim"),
      dy: input("f32", "rows dim"),
      ids: input("i32", "rows"),
      rows: u32,
      vocab: u32,
      dim: u32,
    },
    bytes: "rows * dim * 12",
    flops: "rows * dim",
  },
  dropout: {
    doc: "Zeroes elements and scales the others, replayably: element i is kept where " +
      "uniform(seed, counter + i) >= probability, and multiplied by 1 / (1 - probability). " +
      "The same call on the gradient is its backward. step[0..1] is the seed, step[2..3] the counter " +
      "(each low word first).",
    source: "Srivastava et al. 2014; Salmon et al. 2011 (Philox)",
    params: {
      x: inout("f32", "count"),
      step: input("u32", "4"),
      offset: size,
      count: size,
      probability: f32,
    },
    bytes: "count * 8",
    flops: "count",
  },
  square_sum: {
    doc: "Adds the sum of squares to sum[0], in double precision over a fixed tree.",
    source: "Pascanu et al. 2013, algorithm 1",
    params: { sum: inout("f64", "1"), x: input("f32", "count"), count: size },
    bytes: "count * 4",
    flops: "count * 2",
  },
  clip_scale: {
    doc: "Turns the sum of squares of all gradients into the factor that clips them: norm = " +
      "sqrt(sum[0]); step[0] = norm; step[1] = min(1, limit / norm) (1 where limit is 0); step[2] = 1 " +
      "where the norm is finite, else 0.",
    source: "Pascanu et al. 2013, algorithm 1",
    params: { step: output("f32", "3"), sum: input("f64", "1"), limit: f32 },
    bytes: "24",
    flops: "2",
  },
  adamw: {
    doc:
      "One AdamW step. g = clip[1] grad; m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g^2; " +
      "weight -= lr (m / bias1 / (sqrt(v / bias2) + eps) + decay weight). Nothing changes where " +
      "clip[2] is 0. hyper = lr, beta1, beta2, eps, decay, bias1 = 1 - beta1^t, bias2 = 1 - beta2^t.",
    source: "Loshchilov & Hutter 2019, algorithm 2",
    params: {
      weight: inout("f32", "count"),
      m: inout("f32", "count"),
      v: inout("f32", "count"),
      grad: input("f32", "count"),
      hyper: input("f32", "7"),
      clip: input("f32", "3"),
      compute: maybeOutput("bf16", "count"),
      count: size,
    },
    bytes: "count * 28",
    flops: "count * 12",
  },
  adafactor: {
    doc: "One step of PaLM's Adafactor on a whole tensor, unfactored with parameter scaling: " +
      "scale = lr max(rms(weight), 1e-3); v = beta2 v + (1-beta2)(g^2 + 1e-30); y = g / sqrt(v); " +
      "y /= max(1, rms(y) / limit) where limit > 0; m = beta1 m + (1-beta1) scale y; " +
      "weight = (1 - decay) weight - m. g = clip[1] grad; nothing changes where clip[2] is 0. " +
      "hyper = lr, beta1, beta2, limit, decay.",
    source: "Shazeer & Stern 2018; Chowdhery et al. 2022, section 5; t5x adafactor.py",
    params: {
      weight: inout("f32", "count"),
      m: inout("f32", "count"),
      v: inout("f32", "count"),
      grad: input("f32", "count"),
      hyper: input("f32", "5"),
      clip: input("f32", "3"),
      compute: maybeOutput("bf16", "count"),
      count: size,
    },
    bytes: "count * 40",
    flops: "count * 16",
  },
};
