/**
 * Measures the CUDA backend against what the same GPU reaches in the same run, and training against
 * PyTorch (compiled, fused AdamW, its best attention):
 *
 *     deno run -A scripts/bench/gpu.ts [--steps N] [--rounds N] [--python PYTHON]
 *         [--models 110m,tinyllama] [--only kernels|train]
 *
 * Kernels: the share of the measured copy bandwidth, or the rate of the arithmetic. Training: tokens a
 * second at the median of the rounds, contenders taking turns, and MFU by PaLM's formula.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { flopsPerToken } from "../../lib/plan/flops.ts";

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    steps: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: "python3" },
    models: { type: "string", default: "110m,tinyllama" },
    only: { type: "string" },
  },
});

const MIB = 2 ** 20;
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

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

function elementwise(
  backend: Backend,
  [a, b, c]: readonly [Address, Address, Address],
): Measured[] {
  const { kernels } = backend;
  const [rows, dim] = [8192, 2048];
  const count = rows * dim;
  const strides = { gate_stride: dim, up_stride: dim };
  const norm = { x: a, weight: c, rows, dim, eps: 1e-5 };
  return [
    { name: "add", bytes: 12 * count, run: () => kernels.add({ out: a, x: b, count }) },
    {
      name: "swiglu",
      bytes: 12 * count,
      run: () => kernels.swiglu({ out: c, gate: a, up: b, rows, dim, ...strides }),
    },
    { name: "rms_norm", bytes: 8 * count, run: () => kernels.rms_norm({ out: b, ...norm }) },
    { name: "softmax", bytes: 8 * count, run: () => kernels.softmax({ out: b, x: a, rows, dim }) },
  ];
}

function products(backend: Backend, [a, b, c]: readonly [Address, Address, Address]): Measured[] {
  const side = 4096;
  const shape = { rows: side, columns: side, depth: side, out_stride: side, accumulate: 0 };
  const order = { a_row_stride: side, a_depth_stride: 1, b_column_stride: side, b_depth_stride: 1 };
  const gemm = (dtype: "f32" | "bf16"): Measured => ({
    name: `gemm ${dtype} 4096^3`,
    flops: 2 * side ** 3,
    run: () =>
      backend.kernels.gemm({
        ...{ out: c, a, b, ...shape, ...order, b_packed: 0 },
        ...{ a_dtype: DTYPE_CODES[dtype], b_dtype: DTYPE_CODES[dtype] },
        precision: DTYPE_CODES[dtype],
      }),
  });
  const [rows, heads, head_dim] = [4096, 8, 128];
  const starts = backend.alloc(4 * rows);
  const stride = heads * head_dim;
  const strides = { out_stride: stride, q_stride: stride, k_stride: stride, v_stride: stride };
  const attention: Measured = {
    name: "attention_forward 4096 x 128",
    flops: 2 * rows * rows * heads * head_dim,
    run: () =>
      backend.kernels.attention_forward({
        ...{ out: c, log_z: b, q: a, k: a, v: a, starts, rows, heads, kv_heads: heads, head_dim },
        ...{ ...strides, scale: head_dim ** -0.5 },
      }),
  };
  return [gemm("f32"), gemm("bf16"), attention];
}

async function benchKernels(): Promise<void> {
  const backend = await openBackend({ backend: "cuda" });
  const bytes = 256 * MIB;
  const memory = [backend.alloc(bytes), backend.alloc(bytes), backend.alloc(bytes)] as const;
  console.log(`${backend.info.features.join(", ")} (${backend.info.isa})`);
  const copy = 2 * bytes / timed(backend, () => backend.copy(memory[0], memory[1], bytes)) / 1e6;
  console.log(`copy${copy.toFixed(0).padStart(38)} GB/s`);
  for (const one of [...elementwise(backend, memory), ...products(backend, memory)]) {
    const ms = timed(backend, one.run);
    const rate = one.bytes === undefined
      ? `${(one.flops! / ms / 1e9).toFixed(1)} TFLOP/s`
      : `${(one.bytes / ms / 1e6).toFixed(0)} GB/s, ${
        (100 * one.bytes / ms / 1e6 / copy).toFixed(0)
      }% of copying`;
    console.log(`${one.name.padEnd(32)}${ms.toFixed(3).padStart(10)} ms  ${rate}`);
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
  const flops = flopsPerToken(config, length).total;
  const [ours, peer] = [median(mine), median(theirs)];
  const teraflops = (ours * flops / 1e12).toFixed(1);
  console.log(
    `${preset}: llamero ${ours.toFixed(0)}, PyTorch ${peer.toFixed(0)} tokens/s, ratio ` +
      `${(ours / peer).toFixed(2)}; ${teraflops} TFLOP/s by PaLM's formula`,
  );
}

if (options.only !== "train") await benchKernels();
if (options.only !== "kernels") {
  for (const name of options.models.split(",")) await benchTraining(name);
}
