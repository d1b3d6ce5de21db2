/**
 * `llamero bench train`: tokens per second of training, as a share of what the machine can do.
 *
 * @module
 */

import { measureFlops } from "../../lib/backend/limits.ts";
import { median } from "../../lib/base/median.ts";
import { BatchRamp } from "../../lib/data/ramp.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { flopsPerToken } from "../../lib/plan/flops.ts";
import { benchTrain, WARM_UP } from "../../lib/train/bench.ts";
import { resolveRun, type RunConfig } from "../../lib/train/run_config.ts";
import { checkMemory, memoryLimit } from "../../lib/train/setup.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import { writeTable } from "../ui/table.ts";
import type { BenchTrainOptions } from "./bench_train.spec.ts";

/** Runs `llamero bench train`. */
export async function run(values: BenchTrainOptions, io: Io): Promise<void> {
  const log = new Log(io, values);
  const signal = io.interruption();
  const config = configOf(values);
  const { settings, model } = config;
  const backend = await openBackendFor(values, log);
  const ticker = log.progress({ label: "training", total: WARM_UP + values.steps, unit: "steps" });
  try {
    await backend.ready();
    const bytes = checkMemory(config, memoryLimit(backend));
    const before = measureFlops(backend);
    const progress = (done: number) => ticker.update(done);
    const { stepMs, tokens, loss } = await benchTrain(backend, config, {
      steps: values.steps,
      progress,
      signal,
    });
    // Before and after: a machine may slow down while it is measured.
    const flops = Math.max(before, measureFlops(backend)) * (settings.dtype === "bf16" ? 2 : 1);
    ticker.finish();
    const rates = stepMs.map((ms) => (tokens / ms) * 1000);
    const rate = median(rates);
    const { seqLen } = new BatchRamp(settings).at(0);
    const perToken = flopsPerToken(model, seqLen).total;
    const { name, info: { isa, threads } } = backend;
    const result = {
      tokens_per_second: rate,
      min: Math.min(...rates),
      max: Math.max(...rates),
      steps: stepMs.length,
      step_ms: (tokens / rate) * 1000,
      mfu: (rate * perToken) / flops,
      flops_per_token: perToken,
      loss,
      preset: values.preset,
      dtype: settings.dtype,
      recompute: settings.recompute,
      seq_len: seqLen,
      batch_tokens: tokens,
      micro_batch: settings.microBatch,
      memory: bytes,
      limits: { flops_per_second: flops },
      backend: { name, isa, threads },
    };
    if (values.json) writeJson(io.stdout, result);
    else writeReport(result, io);
  } finally {
    ticker.finish();
    backend.close();
  }
}

/** The preset's run with what was asked for; a batch is one micro-batch unless asked for otherwise. */
function configOf(values: BenchTrainOptions): RunConfig {
  const { preset, vocabSize, seed } = values;
  const { recipe, config } = presetOf(preset, vocabSize === undefined ? {} : { vocabSize });
  const { seqLen = recipe.seqLen, microBatch, batchTokens, optimizer, dtype, recompute } = values;
  const asked = { microBatch, optimizer, dtype, recompute };
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  const sequences = microBatch ?? Math.max(1, Math.floor(4096 / seqLen));
  const settings = {
    ...Object.fromEntries(given),
    preset,
    seqLen,
    batchTokens: batchTokens ?? sequences * seqLen,
    // Nobody keeps the model: sequences may be longer than those that the preset is for.
    model: { maxPositionEmbeddings: Math.max(seqLen, config.maxPositionEmbeddings) },
    // The rate is that of a long run: a step's time does not depend on it, its loss does.
    steps: 1000,
    warmup: 0,
    seed,
  };
  const vocabulary = vocabSize === undefined ? {} : { vocabSize };
  return resolveRun([{ settings, origin: () => "flag" }], { vocabulary });
}

interface Result {
  readonly preset: string;
  readonly dtype: string;
  readonly seq_len: number;
  readonly batch_tokens: number;
  readonly tokens_per_second: number;
  readonly min: number;
  readonly max: number;
  readonly step_ms: number;
  readonly mfu: number;
  readonly limits: { readonly flops_per_second: number };
  readonly backend: { readonly name: string; readonly isa: string; readonly threads: number };
}

function writeReport(result: Result, io: Io): void {
  const { preset, dtype, seq_len, batch_tokens, backend, limits } = result;
  const threads = backend.threads === 1 ? "1 thread" : `${backend.threads} threads`;
  const rate = (value: number) => value.toPrecision(4);
  io.stdout.write(`${preset} in ${dtype} on ${backend.name} (${backend.isa}, ${threads})\n\n`);
  writeTable(io.stdout, {
    columns: [
      { title: "" },
      { title: "tokens/s", align: "right" },
      { title: "spread", align: "right" },
      { title: "step", align: "right" },
      { title: "share of the limit" },
    ],
    rows: [[
      `batches of ${batch_tokens} in sequences of ${seq_len}`,
      rate(result.tokens_per_second),
      `${rate(result.min)} - ${rate(result.max)}`,
      `${(result.step_ms / 1000).toFixed(3)} s`,
      `${(100 * result.mfu).toFixed(1)}% of ${(limits.flops_per_second / 1e9).toFixed(0)} GFLOP/s`,
    ]],
  });
}
