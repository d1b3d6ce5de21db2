/**
 * What `llamero bench kernels` times of training: attention of whole sequences by arithmetic, the
 * rest by memory.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { KernelCase } from "./bench_kernel_case.ts";

/** Ordinary numbers, so that nothing underflows. */
function fill(backend: Backend, address: number, bytes: number): void {
  const values = new Float32Array(1 << 14).map((_, i) => Math.sin(i));
  for (let at = 0; at < bytes; at += values.byteLength) {
    const count = Math.min(values.length, (bytes - at) / 4);
    backend.upload(address + at, values.subarray(0, count));
  }
}

/** Sequences of one length, heads of queries and of keys, head dim. */
type AttentionShape = readonly [
  sequences: number,
  length: number,
  heads: number,
  kvHeads: number,
  headDim: number,
];

const attention = (
  backward: boolean,
  shape: AttentionShape,
  precision: "f32" | "bf16" = "f32",
): KernelCase => {
  const [sequences, length, heads, kv_heads, head_dim] = shape;
  const rows = sequences * length;
  const [wide, narrow] = [heads * head_dim, kv_heads * head_dim];
  // A product for the scores and one for the values, over the pairs that the mask leaves.
  const forward = 2 * sequences * length * (length + 1) * wide;
  const tensors = [wide, heads, wide, narrow, narrow, wide, wide, narrow, narrow];
  const buffers = [rows * 4, ...tensors.map((width) => rows * width * 4)];
  const invoke = (backend: Backend, addresses: readonly number[], gradients: boolean) => {
    const [starts, out, log_z, q, k, v, dout, dq, dk, dv] = addresses as [
      ...[number, number, number, number, number],
      ...[number, number, number, number, number],
    ];
    const given = {
      ...{ out, log_z, q, k, v, starts, rows, heads, kv_heads, head_dim },
      ...{ out_stride: wide, q_stride: wide, k_stride: narrow, v_stride: narrow },
      scale: 1 / Math.sqrt(head_dim),
      precision: DTYPE_CODES[precision],
    };
    if (!gradients) return backend.kernels.attention_forward(given);
    backend.kernels.attention_backward({
      ...given,
      ...{ dout, dq, dk, dv },
      ...{ dout_stride: wide, dq_stride: wide, dk_stride: narrow, dv_stride: narrow },
    });
  };
  return {
    kernel: backward ? "attention_backward" : "attention_forward",
    shape: `${sequences}x${length}, heads ${heads}/${kv_heads} of ${head_dim}${
      precision === "bf16" ? ", bf16" : ""
    }`,
    // The backward has five products for the forward's two.
    flops: backward ? 2.5 * forward : forward,
    buffers,
    prepare: (backend, addresses) => {
      const starts = Int32Array.from({ length: rows }, (_, row) => row - row % length);
      backend.upload(addresses[0]!, starts);
      buffers.forEach((bytes, i) => i > 0 && fill(backend, addresses[i]!, bytes));
      invoke(backend, addresses, false);
    },
    call: (backend, addresses) => invoke(backend, addresses, backward),
  };
};

const crossEntropy = (rows: number, vocab: number): KernelCase => ({
  kernel: "cross_entropy",
  shape: `${rows}x${vocab}`,
  // Logits are read and their gradient is written.
  bytes: rows * vocab * 8,
  buffers: [rows * vocab * 4, rows * 4, rows * 4, rows * 4, rows * 4],
  prepare: (backend, [logits, , , targets, weights]) => {
    fill(backend, logits!, rows * vocab * 4);
    backend.upload(targets!, Int32Array.from({ length: rows }, (_, row) => row % vocab));
    backend.upload(weights!, new Float32Array(rows).fill(1));
  },
  call: (backend, [logits, log_prob, log_z, targets, weights]) =>
    backend.kernels.cross_entropy({
      ...{ logits: logits!, log_prob: log_prob!, log_z: log_z!, targets: targets! },
      ...{ weights: weights!, rows, vocab, z_loss: 1e-4 },
    }),
});

const normBackward = (rows: number, dim: number): KernelCase => {
  const buffers = [rows * dim * 4, dim * 4, rows * dim * 4, rows * dim * 4, dim * 4];
  return {
    kernel: "rms_norm_backward",
    shape: `${rows}x${dim}`,
    bytes: rows * dim * 16,
    buffers,
    prepare: (backend, addresses) =>
      addresses.forEach((address, i) => fill(backend, address, buffers[i]!)),
    call: (backend, [dx, dweight, dy, x, weight]) =>
      backend.kernels.rms_norm_backward({
        ...{ dx: dx!, dweight: dweight!, dy: dy!, x: x!, weight: weight!, rows, dim, eps: 1e-5 },
      }),
  };
};

const swigluBackward = (rows: number, dim: number): KernelCase => ({
  kernel: "swiglu_backward",
  shape: `${rows}x${dim}`,
  bytes: rows * dim * 20,
  buffers: Array<number>(5).fill(rows * dim * 4),
  prepare: (backend, addresses) =>
    addresses.forEach((address) => fill(backend, address, rows * dim * 4)),
  call: (backend, [dgate, dup, dy, gate, up]) =>
    backend.kernels.swiglu_backward({
      ...{ dgate: dgate!, dup: dup!, out: 0, dy: dy!, gate: gate!, up: up!, rows, dim },
      ...{ dgate_stride: dim, dup_stride: dim, gate_stride: dim, up_stride: dim },
    }),
});

/** The cases: heads and widths of models from 15M to 7B parameters; bf16 where the processor has it. */
export const TRAINING_CASES: readonly KernelCase[] = [
  ...[false, true].flatMap((backward) => [
    attention(backward, [4, 256, 6, 6, 48]),
    attention(backward, [1, 1024, 12, 12, 64]),
    attention(backward, [1, 1024, 8, 2, 128]),
    { ...attention(backward, [1, 1024, 12, 12, 64], "bf16"), inBf16: true },
  ]),
  crossEntropy(512, 32_000),
  normBackward(4096, 4096),
  swigluBackward(2048, 11_008),
];
