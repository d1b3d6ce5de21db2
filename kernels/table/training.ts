/**
 * The kernels that a backward pass needs beyond the forward ones and the products.
 *
 * Convention: what receives a gradient is added to where the argument is `inout` and overwritten
 * where it is `out`. The gradient of `rope` is `rope` with the sines of its table negated.
 *
 * @module
 */

import {
  f32,
  f64,
  inout,
  input,
  type Kernel,
  maybeInout,
  maybeOutput,
  output,
  size,
  u32,
} from "./kernel.ts";

/** What attention needs to know of its rows and heads. */
const ATTENTION_SHAPE = {
  starts: input("i32", "rows"),
  rows: u32,
  heads: u32,
  kv_heads: u32,
  head_dim: u32,
} as const;

/** Training attention, forward and backward. */
const ATTENTION: Readonly<Record<string, Kernel>> = {
  attention_forward: {
    doc:
      "Causal attention of whole documents for training. Row r sees rows starts[r] .. r, where " +
      "starts[r] is the first row of its document: r itself, or what the row before has. " +
      "log_z[r,h] keeps the log of the softmax's sum for the backward. Online softmax over tiles, " +
      "never rows x rows memory; query head h uses kv head h / (heads / kv_heads). With precision " +
      "bf16 the factors of all products are rounded to it, softmax and sums stay f32.",
    source: "Dao 2023 (FlashAttention-2), algorithm 1; Ainslie et al. 2023",
    params: {
      out: output("f32", "rows heads head_dim"),
      log_z: output("f32", "rows heads"),
      q: input("f32", "rows heads head_dim"),
      k: input("f32", "rows kv_heads head_dim"),
      v: input("f32", "rows kv_heads head_dim"),
      ...ATTENTION_SHAPE,
      out_stride: u32,
      q_stride: u32,
      k_stride: u32,
      v_stride: u32,
      scale: f32,
      precision: u32,
    },
    bytes: "rows * (2 * heads + 2 * kv_heads) * head_dim * 4",
    flops: "2 * rows * rows * heads * head_dim",
  },
  attention_backward: {
    doc:
      "Backward of attention_forward, scores recomputed tile by tile: P = exp(scale q k - log_z), " +
      "dv = sum P dout, dS = P (dout v - rowsum(dout out)), dq = scale sum dS k, dk = scale sum dS q; " +
      "a kv head sums over its query heads in order. precision: as in attention_forward.",
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
      ...ATTENTION_SHAPE,
      dq_stride: u32,
      dk_stride: u32,
      dv_stride: u32,
      dout_stride: u32,
      out_stride: u32,
      q_stride: u32,
      k_stride: u32,
      v_stride: u32,
      scale: f32,
      precision: u32,
    },
    bytes: "rows * (4 * heads + 4 * kv_heads) * head_dim * 4",
    flops: "5 * rows * rows * heads * head_dim",
  },
};

/** Backward of what has weights or a nonlinearity, the loss, and dropout. */
export const TRAINING_KERNELS: Readonly<Record<string, Kernel>> = {
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
      "dx += r (weight dy - mean(weight dy) - n mean(weight dy n)), " +
      "dweight += sum over rows of dy n, dbias += sum over rows of dy.",
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
      "dup = dy gate s; `out`, where given, gets swiglu's own result again, to the bit. dgate may be " +
      "gate, dup may be up.",
    source: "Shazeer 2020, eq. 6, differentiated",
    params: {
      dgate: output("f32", "rows dim"),
      dup: output("f32", "rows dim"),
      out: maybeOutput("f32", "rows dim"),
      dy: input("f32", "rows dim"),
      gate: input("f32", "rows dim"),
      up: input("f32", "rows dim"),
      rows: u32,
      dim: u32,
      dgate_stride: u32,
      dup_stride: u32,
      gate_stride: u32,
      up_stride: u32,
    },
    bytes: "rows * dim * 20",
    flops: "rows * dim * 12",
  },
  ...ATTENTION,
  cross_entropy: {
    doc: "Loss and its gradient in place of the logits. log_z = log sum exp logits; " +
      "log_prob = logits[target] - log_z (0 where the target is negative); then " +
      "logits = weight (softmax - onehot(target)) + weight 2 z_loss log_z softmax, " +
      "and 0 where the target is negative or the weight is 0.",
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
    bytes: "rows * vocab * 8",
    flops: "rows * vocab * 8",
  },
  score_part: {
    doc: "What one part of a vocabulary knows of its rows: shift = max logits (0 where that is " +
      "infinite), sum = sum exp(logits - shift), chosen = logits[target], 0 where the target is " +
      "negative. `exponentials`, where given, gets exp(logits - shift); it may be the logits. Over " +
      "all parts log_z = M + log sum_p sum_p exp(shift_p - M), M = max shift_p.",
    source: "Shoeybi et al. 2019, section 3 (parallel cross entropy)",
    params: {
      exponentials: maybeOutput("f32", "rows vocab"),
      shift: output("f32", "rows"),
      sum: output("f32", "rows"),
      chosen: output("f32", "rows"),
      logits: input("f32", "rows vocab"),
      targets: input("i32", "rows"),
      rows: u32,
      vocab: u32,
    },
    bytes: "rows * vocab * 8",
    flops: "rows * vocab * 4",
  },
  cross_entropy_part: {
    doc: "Gradient of the loss in place of the exponentials of score_part: " +
      "logits = factor logits - weight onehot(target), nothing taken off where the target is " +
      "negative (in another part), and 0 where the weight is 0. With factor = " +
      "weight (1 + 2 z_loss log_z) exp(shift - log_z) it is that of cross_entropy.",
    source: "Shoeybi et al. 2019, section 3; Chowdhery et al. 2022, section 5 (z-loss)",
    params: {
      logits: inout("f32", "rows vocab"),
      factors: input("f32", "rows"),
      weights: input("f32", "rows"),
      targets: input("i32", "rows"),
      rows: u32,
      vocab: u32,
    },
    bytes: "rows * vocab * 8",
    flops: "rows * vocab",
  },
  embedding_backward: {
    doc:
      "Backward of embedding: dtable[ids[r],:] += dy[r,:], rows in order, so that equal ids add " +
      "up the same way whatever the threads.",
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
    doc:
      "Zeroes elements and scales the others, replayably. With j = offset + i, element i is kept " +
      "where word j % 4 of philox4x32(counter j / 4, stream; key seed) >= probability 2^32, and " +
      "multiplied by 1 / (1 - probability): the words of `RandomStream(seed, stream).bits(j / 4)`. " +
      "seed, stream and offset are integers below 2^53. The same call on the gradient is its backward.",
    source: "Srivastava et al. 2014; Salmon et al. 2011 (Philox)",
    params: {
      x: inout("f32", "count"),
      seed: f64,
      stream: f64,
      offset: f64,
      count: size,
      probability: f32,
    },
    bytes: "count * 8",
    flops: "count",
  },
};
