/**
 * Measures the CUDA backend against what the same GPU reaches in the same run, and training against
 * PyTorch (compiled, fused AdamW, its best attention):
 *
 *     deno run -A scripts/bench/gpu.ts [--steps N] [--rounds N] [--python PYTHON]
 *         [--models 110m,tinyllama] [--only kernels|train] [--hardware h200]
 *
 * Kernels: the share of the measured bandwidth of copying, or of PyTorch's measured rate of one large
 * product in bf16, which is cuBLAS's. Training: tokens a second at the median of the rounds, contenders
 * taking turns, and MFU by PaLM's formula against what the maker says of HARDWARE.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { median } from "../../lib/base/median.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { modelFlopsUtilization } from "../../lib/plan/flops.ts";
import { hardwareOf } from "../../lib/plan/hardware.ts";

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    steps: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: "python3" },
    models: { type: "string", default: "110m,tinyllama" },
    only: { type: "string" },
    hardware: { type: "string", default: "h200" },
  },
});

const MIB = 2 ** 20;

/** Milliseconds of one call: the median of batches that are enqueued together. */
function timed(backend: Backend, work: () => void): number {
  work();
  backend.wait();
  const times = Array.from({ length: 5 }, () => {
    const calls = 10;
    const start = performance.now();
    for (let call = 0; call < calls; call++) work();
    backend.wait();
    return (performance.now() - start) / calls;
  });
  return median(times);
}

/** A kernel that is measured: what it does in one call. */
interface Measured {
  readonly name: string;
  readonly bytes?: number;
  readonly flops?: number;
  readonly run: () => void;
}

/** Memory for the largest operand of a kernel, full of numbers: products of zeros are too easy. */
function filled(backend: Backend, dtype: "f32" | "bf16", count: number): Address {
  const stream = new RandomStream(1, 0);
  const values = new Float32Array(count);
  stream.fillNormal(values, { deviation: 1 });
  const single = backend.alloc(4 * count);
  backend.upload(single, values);
  if (dtype === "f32") return single;
  const half = backend.alloc(2 * count);
  const codes = { out_dtype: DTYPE_CODES.bf16, x_dtype: DTYPE_CODES.f32 };
  backend.kernels.convert({ out: half, x: single, ...codes, rows: 1, dim: count });
  return half;
}

function elementwise(backend: Backend): Measured[] {
  const { kernels } = backend;
  const [rows, dim] = [8192, 2048];
  const count = rows * dim;
  const [x, y] = [filled(backend, "f32", count), filled(backend, "f32", count)];
  const [out, weight] = [backend.alloc(4 * count), filled(backend, "f32", dim)];
  const strides = { gate_stride: dim, up_stride: dim };
  const norm = { out, x, weight, rows, dim, eps: 1e-5 };
  return [
    { name: "add", bytes: 12 * count, run: () => kernels.add({ out, x, count }) },
    {
      name: "swiglu",
      bytes: 12 * count,
      run: () => kernels.swiglu({ out, gate: x, up: y, rows, dim, ...strides }),
    },
    { name: "rms_norm", bytes: 8 * count, run: () => kernels.rms_norm(norm) },
    { name: "softmax", bytes: 8 * count, run: () => kernels.softmax({ out, x, rows, dim }) },
  ];
}

const SIDE = 4096;

function gemm(backend: Backend, dtype: "f32" | "bf16"): Measured {
  const [a, b] = [filled(backend, dtype, SIDE ** 2), filled(backend, dtype, SIDE ** 2)];
  const out = backend.alloc(4 * SIDE ** 2);
  const shape = { rows: SIDE, columns: SIDE, depth: SIDE, out_stride: SIDE };
  const order = { a_row_stride: SIDE, a_depth_stride: 1, b_column_stride: SIDE, b_depth_stride: 1 };
  const code = DTYPE_CODES[dtype];
  const types = { a_dtype: code, b_dtype: code, precision: code, accumulate: 0, b_packed: 0 };
  return {
    name: `gemm ${dtype} ${SIDE}^3`,
    flops: 2 * SIDE ** 3,
    run: () => backend.kernels.gemm({ out, a, b, ...shape, ...order, ...types }),
  };
}

/** What attention is measured with: factors of products, and the size of its heads. */
interface AttentionKind {
  readonly dtype: "f32" | "bf16";
  readonly head_dim: number;
}

/** Causal attention of one document, forward and backward; operations without what is masked. */
function attention(backend: Backend, { dtype, head_dim }: AttentionKind): Measured[] {
  const [rows, heads] = [4096, 1024 / head_dim];
  const count = rows * heads * head_dim;
  const [q, k, v, dout] = Array.from({ length: 4 }, () => filled(backend, "f32", count)) as [
    Address,
    Address,
    Address,
    Address,
  ];
  const [out, dq, dk, dv] = Array.from({ length: 4 }, () => backend.alloc(4 * count)) as [
    Address,
    Address,
    Address,
    Address,
  ];
  const stride = heads * head_dim;
  const precision = DTYPE_CODES[dtype];
  const shape = { rows, heads, kv_heads: heads, head_dim, scale: head_dim ** -0.5, precision };
  const strides = { out_stride: stride, q_stride: stride, k_stride: stride, v_stride: stride };
  const tensors = { log_z: backend.alloc(4 * rows * heads), starts: backend.alloc(4 * rows) };
  const forward = { out, q, k, v, ...tensors, ...shape, ...strides };
  const gradients = { dq, dk, dv, dout, dq_stride: stride, dk_stride: stride, dv_stride: stride };
  const flops = 2 * rows * rows * heads * head_dim;
  return [
    {
      name: `attention_forward ${dtype} ${rows} x ${head_dim}`,
      flops,
      run: () => backend.kernels.attention_forward(forward),
    },
    {
      name: `attention_backward ${dtype} ${rows} x ${head_dim}`,
      flops: 2.5 * flops,
      run: () =>
        backend.kernels.attention_backward({ ...forward, ...gradients, dout_stride: stride }),
    },
  ];
}

/** Operations per second of PyTorch's product in bf16; NaN where there is no PyTorch. */
async function cublasRate(): Promise<number> {
  const program = `
import torch
a, b = torch.randn(2, ${SIDE}, ${SIDE}, device="cuda", dtype=torch.bfloat16)
start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
for _ in range(10): a @ b.T
start.record()
for _ in range(50): a @ b.T
end.record()
torch.cuda.synchronize()
print(start.elapsed_time(end) / 50)`;
  const command = new Deno.Command(options.python, { args: ["-c", program], stderr: "null" });
  const output = await command.output().catch(() => undefined);
  const ms = output?.success ? Number(new TextDecoder().decode(output.stdout)) : NaN;
  return 2 * SIDE ** 3 / ms * 1000;
}

async function benchKernels(): Promise<void> {
  const cublas = await cublasRate();
  const backend = await openBackend({ backend: "cuda" });
  console.log(`${backend.info.features.join(", ")} (${backend.info.isa})`);
  const bytes = 256 * MIB;
  const [from, to] = [backend.alloc(bytes), backend.alloc(bytes)];
  const copy = 2 * bytes / timed(backend, () => backend.copy(to, from, bytes)) * 1000;
  console.log(
    `copying ${(copy / 1e9).toFixed(0)} GB/s, cuBLAS ${(cublas / 1e12).toFixed(0)} TFLOP/s`,
  );
  const all = [
    ...elementwise(backend),
    gemm(backend, "f32"),
    gemm(backend, "bf16"),
    ...attention(backend, { dtype: "f32", head_dim: 128 }),
    ...[64, 128, 256].flatMap((head_dim) => attention(backend, { dtype: "bf16", head_dim })),
  ];
  for (const { name, run, bytes, flops } of all) {
    const ms = timed(backend, run);
    const [amount, limit, unit] = bytes === undefined ? [flops!, cublas, 1e12] : [bytes, copy, 1e9];
    const rate = amount / ms * 1000;
    const text = `${(rate / unit).toFixed(1)} ${unit === 1e12 ? "TFLOP/s" : "GB/s"}`;
    const share = `${(100 * rate / limit).toFixed(0)}%`;
    console.log(
      `${name.padEnd(32)}${ms.toFixed(3).padStart(10)} ms  ${text.padStart(14)}  ${share}`,
    );
  }
  backend.close();
}

/** Sequences and their length for one step of each model. */
const MODELS: Readonly<Record<string, { preset: string; sequences: number; length: number }>> = {
  "110m": { preset: "llama-110m", sequences: 16, length: 1024 },
  tinyllama: { preset: "tinyllama-1.1b", sequences: 8, length: 2048 },
};
const VOCABULARY = 32000;

async function rateOf(program: string, args: readonly string[]): Promise<number> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const text = new TextDecoder();
  if (!success) {
    console.error(`${program} did not run: ${text.decode(stderr).trim().split("\n").at(-1)}`);
    return NaN;
  }
  const json = text.decode(stdout);
  const result = JSON.parse(json.slice(json.indexOf("{"))) as { tokens_per_second: number };
  return result.tokens_per_second;
}

async function benchTraining(name: string): Promise<void> {
  const { preset, sequences, length } = MODELS[name]!;
  const { config } = presetOf(preset, { vocabSize: VOCABULARY });
  const vocabulary = preset.startsWith("llama-") ? ["--vocab-size", String(VOCABULARY)] : [];
  const [mine, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < Number(options.rounds); round++) {
    const ours = await rateOf(Deno.execPath(), [
      ...["run", "-A", fileURLToPath(new URL("../../cli/main.ts", import.meta.url))],
      ...["bench", "train", "--preset", preset, ...vocabulary, "--seq-len", String(length)],
      ...["--batch-tokens", String(sequences * length), "--micro-batch", String(sequences)],
      ...["--steps", options.steps, "--dtype", "bf16", "--backend", "cuda", "--json"],
    ]);
    const peer = await rateOf(options.python, [
      fileURLToPath(new URL("train_pytorch.py", import.meta.url)),
      ...[config.hiddenSize, config.intermediateSize, config.numHiddenLayers].map(String),
      ...[config.numAttentionHeads, VOCABULARY, sequences, length].map(String),
      ...["bf16", options.steps, "8", "cuda", String(config.numKeyValueHeads)],
      config.tieWordEmbeddings ? "tied" : "untied",
    ]);
    mine.push(ours);
    theirs.push(peer);
  }
  const { peakFlops } = hardwareOf(options.hardware);
  const told = [["llamero", mine], ["PyTorch", theirs]] as const;
  for (const [name, rates] of told) {
    const tokensPerSecond = median(rates);
    const mfu = modelFlopsUtilization(config, { tokensPerSecond, peakFlops, seqLen: length });
    const rate = `${tokensPerSecond.toFixed(0)} tokens/s`;
    console.log(`${preset}: ${name} ${rate}, MFU ${(100 * mfu).toFixed(1)}%`);
  }
  console.log(`${preset}: ratio ${(median(mine) / median(theirs)).toFixed(2)}`);
}

if (options.only !== "train") await benchKernels();
if (options.only !== "kernels") {
  for (const name of options.models.split(",")) await benchTraining(name);
}
