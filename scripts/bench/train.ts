/**
 * Measures training against PyTorch on the same model and batch, and against llm.c by operations per
 * second at its own GPT-2 124M:
 *
 *     deno run -A scripts/bench/train.ts [--rounds N] [--steps N] [--models 15m,42m,110m]
 *         [--dtypes f32,bf16] [--threads N] [--seq-len N] [--python PYTHON] [--llm-c FOLDER] [--wasm]
 *
 * PyTorch runs in PYTHON (default python3), llm.c from a checkout of github.com/karpathy/llm.c that is
 * compiled with `cc`; a peer that is not there is named and left out. Every contender takes its turn
 * in each round, in a process of its own, and the median of the rounds counts. Models are Llamas of 32,000
 * tokens, tied; every step includes clipping and AdamW.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { presetOf } from "../../lib/model/presets.ts";
import { median } from "../../lib/base/median.ts";

const VOCABULARY = 32000;
/** Tokens of a batch, fewer for larger models; one sequence where it is longer. */
const BATCH_TOKENS: Readonly<Record<string, number>> = { "15m": 2048, "42m": 1024, "110m": 512 };
/** 6 operations per parameter and token, at GPT-2's 124M. */
const GPT2_TOKEN_FLOPS = 6 * 124_475_904;
const LLM_C_BATCH = [4, 64] as const;

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "5" },
    models: { type: "string", default: "15m,42m,110m" },
    dtypes: { type: "string", default: "f32,bf16" },
    threads: { type: "string", default: String(navigator.hardwareConcurrency) },
    "seq-len": { type: "string", default: "256" },
    python: { type: "string", default: "python3" },
    "llm-c": { type: "string" },
    wasm: { type: "boolean", default: false },
  },
});

/** What a contender prints. */
interface Measured {
  readonly tokens_per_second: number;
  /** Operations of a token, where the contender tells. */
  readonly flops_per_token?: number;
}

/** Runs a program that prints one JSON object at last; `undefined` where it cannot run. */
async function measured(program: string, args: readonly string[]): Promise<Measured | undefined> {
  const command = new Deno.Command(program, {
    args: [...args],
    env: { OMP_NUM_THREADS: options.threads },
    stdout: "piped",
    stderr: "piped",
  });
  const output = await command.output().catch(() => undefined);
  if (output?.success) {
    const lines = new TextDecoder().decode(output.stdout).trim();
    // llm.c tells of its memory first.
    return JSON.parse(lines.slice(lines.indexOf("{"))) as Measured;
  }
  const reason = output === undefined
    ? "not found"
    : new TextDecoder().decode(output.stderr).trim().split("\n").at(-1);
  console.error(`${program} did not run: ${reason}`);
  return undefined;
}

/** One configuration that all contenders train. */
interface Task {
  readonly model: string;
  readonly dtype: string;
}

function sequencesOf(model: string): number {
  return Math.max(1, Math.floor(BATCH_TOKENS[model]! / Number(options["seq-len"])));
}

function ours({ model, dtype }: Task, backend: string): Promise<Measured | undefined> {
  const sequences = sequencesOf(model);
  const length = Number(options["seq-len"]);
  return measured(Deno.execPath(), [
    ...["run", "-A", fileURLToPath(new URL("../../cli/main.ts", import.meta.url))],
    ...["bench", "train", "--preset", `llama-${model}`, "--vocab-size", String(VOCABULARY)],
    ...["--seq-len", String(length), "--batch-tokens", String(sequences * length)],
    ...["--micro-batch", String(sequences), "--steps", options.steps, "--dtype", dtype],
    ...["--threads", options.threads, "--backend", backend, "--json"],
  ]);
}

function pytorch({ model, dtype }: Task): Promise<Measured | undefined> {
  const { config } = presetOf(`llama-${model}`, { vocabSize: VOCABULARY });
  const sizes = [
    ...[config.hiddenSize, config.intermediateSize, config.numHiddenLayers],
    ...[config.numAttentionHeads, VOCABULARY, sequencesOf(model)],
  ];
  return measured(options.python, [
    fileURLToPath(new URL("train_pytorch.py", import.meta.url)),
    ...sizes.map(String),
    ...[options["seq-len"], dtype, options.steps, options.threads],
  ]);
}

/** Compiles llm.c around our harness; gives the program. */
async function compileLlmC(checkout: string, folder: string): Promise<string | undefined> {
  const program = join(folder, "train_llmc");
  const harness = fileURLToPath(new URL("train_llmc.c", import.meta.url));
  const flags = ["-Ofast", "-march=native", "-fopenmp", "-I", checkout, harness, "-lm"];
  const { success, stderr } = await new Deno.Command("cc", {
    args: [...flags, "-o", program],
    stderr: "piped",
  }).output();
  if (success) return program;
  console.error(`llm.c did not compile: ${new TextDecoder().decode(stderr)}`);
  return undefined;
}

/** Tokens per second of every contender, round by round. */
async function race(task: Task): Promise<{ readonly ours: number; readonly peer: number }> {
  const [mine, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < Number(options.rounds); round++) {
    const one = await ours(task, "native");
    const other = await pytorch(task);
    if (one !== undefined) mine.push(one.tokens_per_second);
    if (other !== undefined) theirs.push(other.tokens_per_second);
  }
  return { ours: median(mine), peer: median(theirs) };
}

async function raceLlmC(program: string): Promise<void> {
  const task = { model: "110m", dtype: "f32" };
  const rates: Record<string, number[]> = {};
  for (let round = 0; round < Number(options.rounds); round++) {
    const peer = await measured(program, [...LLM_C_BATCH.map(String), "2"]);
    if (peer !== undefined) {
      (rates["llm.c, native"] ??= []).push(peer.tokens_per_second * GPT2_TOKEN_FLOPS);
    }
    for (const backend of options.wasm ? ["native", "wasm"] : ["native"]) {
      const one = await ours(task, backend);
      const flops = (one?.tokens_per_second ?? NaN) * (one?.flops_per_token ?? NaN);
      (rates[`llamero, ${backend}`] ??= []).push(flops);
    }
  }
  console.log("\ntraining in f32, GFLOP/s (GPT-2 124M for llm.c, Llama 110M for ours)");
  for (const [name, flops] of Object.entries(rates)) {
    console.log(`${name.padEnd(16)}${(median(flops) / 1e9).toFixed(1).padStart(8)}`);
  }
}

console.log("model  dtype   llamero   PyTorch  tokens/s     ratio");
for (const model of options.models.split(",")) {
  for (const dtype of options.dtypes.split(",")) {
    const { ours, peer } = await race({ model, dtype });
    const rates = [ours, peer].map((rate) => rate.toFixed(0).padStart(10)).join("");
    console.log(
      `${model.padEnd(7)}${dtype.padEnd(5)}${rates}${(ours / peer).toFixed(2).padStart(20)}`,
    );
  }
}
const checkout = options["llm-c"];
if (checkout !== undefined) {
  const folder = await Deno.makeTempDir({ prefix: "llamero-peers-" });
  try {
    const program = await compileLlmC(checkout, folder);
    if (program !== undefined) await raceLlmC(program);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
