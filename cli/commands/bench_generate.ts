/**
 * `llamero bench generate`: tokens per second of a model, as a share of what the machine can do.
 *
 * @module
 */

import { type MachineLimits, measureLimits } from "../../lib/backend/limits.ts";
import { formatBytes } from "../../lib/base/format.ts";
import { median } from "../../lib/base/median.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { benchGenerate, type GenerateCost, generateCost } from "../../lib/infer/bench.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import { type Io, writeJson } from "../io.ts";
import { openBackendFor } from "../open_backend.ts";
import { Log } from "../ui/log.ts";
import { writeTable } from "../ui/table.ts";
import type { BenchGenerateOptions } from "./bench_generate.spec.ts";

/** Rates of all runs, in tokens per second. */
interface Rates {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

interface Measured {
  readonly prompt: Rates;
  readonly decode: Rates;
  readonly cost: GenerateCost;
  /** Bytes of weights that were repacked. */
  readonly repacked: number;
  /** Bytes of weights that were moved into huge pages as they are. */
  readonly moved: number;
  readonly limits: MachineLimits;
  readonly backend: { readonly name: string; readonly isa: string; readonly threads: number };
}

/** Runs `llamero bench generate`. */
export async function run(values: BenchGenerateOptions, io: Io): Promise<void> {
  const log = new Log(io, values);
  const signal = io.interruption();
  const checkpoint = await openCheckpoint(values.model);
  const backend = await openBackendFor(values, log);
  const ticker = log.progress({ label: "measuring", total: values.repeat, unit: "runs" });
  try {
    const limits = measureLimits(backend);
    const { activations, repack } = values;
    const decoder = await Decoder.load(backend, checkpoint, { activations, repack, signal });
    const runs = await benchGenerate(decoder, {
      ...values,
      signal,
      progress: (done) => ticker.update(done),
    });
    const measured: Measured = {
      prompt: ratesOf(runs.map(({ promptMs }) => values.promptTokens / promptMs * 1000)),
      decode: ratesOf(runs.map(({ decodeMs }) => values.maxTokens / decodeMs * 1000)),
      cost: generateCost(decoder, values),
      repacked: decoder.weights.places?.repackedBytes ?? 0,
      moved: decoder.weights.places?.movedBytes ?? 0,
      limits,
      backend: { name: backend.name, isa: backend.info.isa, threads: backend.info.threads },
    };
    ticker.finish();
    if (values.json) writeJson(io.stdout, jsonOf(measured, values));
    else writeReport(measured, values, io);
  } finally {
    ticker.finish();
    backend.close();
  }
}

function ratesOf(values: readonly number[]): Rates {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Share of the arithmetic that a prompt reaches, and of the bandwidth that a token does. */
function sharesOf(
  { prompt, decode, cost, limits }: Measured,
  { promptTokens }: BenchGenerateOptions,
): { readonly prompt: number; readonly decode: number } {
  return {
    prompt: prompt.median / promptTokens * cost.promptFlops / limits.flopsPerSecond,
    decode: decode.median * cost.tokenBytes / limits.bytesPerSecond,
  };
}

function jsonOf(measured: Measured, values: BenchGenerateOptions): unknown {
  const { prompt, decode, limits, backend } = measured;
  const shares = sharesOf(measured, values);
  return {
    prompt_tokens_per_second: prompt.median,
    decode_tokens_per_second: decode.median,
    prompt: { tokens: values.promptTokens, ...prompt, share_of_flops: shares.prompt },
    decode: { tokens: values.maxTokens, ...decode, share_of_bandwidth: shares.decode },
    repeat: values.repeat,
    repacked_bytes: measured.repacked,
    moved_bytes: measured.moved,
    limits: { flops_per_second: limits.flopsPerSecond, bytes_per_second: limits.bytesPerSecond },
    backend,
  };
}

function writeReport(measured: Measured, values: BenchGenerateOptions, io: Io): void {
  const { prompt, decode, limits, backend } = measured;
  const shares = sharesOf(measured, values);
  const threads = backend.threads === 1 ? "1 thread" : `${backend.threads} threads`;
  const rate = (value: number) => value.toPrecision(4);
  const row = (name: string, rates: Rates, share: string) => [
    name,
    rate(rates.median),
    `${rate(rates.min)} - ${rate(rates.max)}`,
    share,
  ];
  const percent = (share: number) => `${(100 * share).toFixed(0)}%`;
  const part = (bytes: number, what: string) =>
    bytes === 0 ? "" : `, ${formatBytes(bytes)} ${what}`;
  const layout = part(measured.repacked, "repacked") + part(measured.moved, "moved");
  io.stdout.write(`${values.model} on ${backend.name} (${backend.isa}, ${threads}${layout})\n\n`);
  writeTable(io.stdout, {
    columns: [
      { title: "" },
      { title: "tokens/s", align: "right" },
      { title: "spread", align: "right" },
      { title: "share of the limit" },
    ],
    rows: [
      row(
        `prompt of ${values.promptTokens}`,
        prompt,
        `${percent(shares.prompt)} of ${(limits.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s`,
      ),
      row(
        `${values.maxTokens} tokens after it`,
        decode,
        `${percent(shares.decode)} of ${(limits.bytesPerSecond / 1e9).toFixed(1)} GB/s`,
      ),
    ],
  });
}
