/**
 * Measures the papers' architectural trade-offs on this code and draws them:
 *
 *     deno run -A scripts/bench/architecture.ts [--preset NAME] [--backend NAME] [--threads N]
 *       [--rounds N] [--rows N] [--context N] [--out architecture.svg] [--force]
 *
 * Three comparisons, each of models that differ in one thing alone: the serial block against PaLM's
 * parallel one (arXiv:2204.02311, section 2: about 15% faster at scale), by training time; a kv head
 * per query head against one for four and one for all (arXiv:2305.13245), by decoding time and size
 * of the cache; what the backward pass computes again, by training time and memory. The models have
 * a vocabulary of 1024, so that the head, which all have in common, does not hide the blocks. They
 * take turns, and the median of the rounds counts.
 *
 * @module
 */

import { parseArgs } from "node:util";
import type { Backend, BackendName } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { checkOutputPath, writeFileAtomically } from "../../lib/base/atomic_file.ts";
import { LlameroError } from "../../lib/base/errors.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { benchGenerate } from "../../lib/infer/bench.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { Decoder } from "../../lib/model/decoder.ts";
import { DecoderWeights } from "../../lib/model/decoder_weights.ts";
import { kvCacheBytes } from "../../lib/model/kv_cache.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { planTrainingBytes } from "../../lib/model/training/memory.ts";
import type { Recompute, TrainBatch } from "../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";
import { barChart, type BarGroup } from "./bars.ts";

const VOCABULARY = 1024;
const DECODED = 16;

const { values: options } = parseArgs({
  options: {
    preset: { type: "string", default: "llama-42m" },
    backend: { type: "string" },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    rows: { type: "string", default: "512" },
    context: { type: "string", default: "2048" },
    out: { type: "string", default: "architecture.svg" },
    force: { type: "boolean", default: false },
  },
});

/** A number from the command line. */
function count(name: "threads" | "rounds" | "rows" | "context"): number {
  const value = Number(options[name]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`Cannot take --${name} "${options[name]}": wanted a whole number above 0`);
  Deno.exit(2);
}

const [rounds, rows, context] = [count("rounds"), count("rows"), count("context")];

/** One of the things compared, and one run of it in milliseconds. */
interface Contender {
  readonly label: string;
  run(): number | Promise<number>;
  close(): void;
}

/** Medians of contenders that take turns, after a round that does not count. */
async function race(contenders: readonly Contender[]): Promise<number[]> {
  const times = contenders.map(() => [] as number[]);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const ms = await contender.run();
      if (round > 0) times[i]!.push(ms);
    }
  }
  contenders.forEach((contender) => contender.close());
  return times.map((each) => each.sort((a, b) => a - b)[each.length >> 1]!);
}

/** One sequence of random tokens. */
function randomBatch(): TrainBatch {
  const random = new RandomStream(1, 0);
  const draw = (from: number) =>
    Int32Array.from({ length: rows }, (_, i) => random.uniform(from + i) * VOCABULARY);
  return {
    ...{ sequences: 1, length: rows, tokens: draw(0), targets: draw(rows) },
    starts: new Int32Array(rows),
    positions: Int32Array.from({ length: rows }, (_, i) => i),
  };
}

/** Trains: forward and backward of one sequence. */
function trainer(
  backend: Backend,
  { label, config, recompute }: {
    readonly label: string;
    readonly config: ModelConfig;
    readonly recompute?: Recompute;
  },
): Contender {
  const model = new TrainableModel(backend, { config }, { maxRows: rows, recompute });
  model.initialize(1);
  const batch = randomBatch();
  return {
    label,
    run: () => {
      const start = performance.now();
      model.forwardBackward(batch, { weightScale: 1 / rows, accumulate: false });
      return performance.now() - start;
    },
    close: () => model.close(),
  };
}

/** Decodes: the time of one token after a context. */
function decoder(
  backend: Backend,
  { label, config }: { readonly label: string; readonly config: ModelConfig },
): Contender {
  const model = new TrainableModel(backend, { config }, { maxRows: 1 });
  model.initialize(1);
  const placed = new Map(
    model.parameters.map(({ spec, weight }) =>
      [spec.name, { dtype: "f32", address: weight }] as const
    ),
  );
  const weights = new DecoderWeights(config, { placed, readBytes: 0, close: () => {} });
  const decoding = Decoder.over(backend, { config, ropeLayout: "half" }, weights);
  return {
    label,
    run: async () => {
      const promptTokens = context - DECODED;
      const [only] = await benchGenerate(decoding, {
        ...{ promptTokens, maxTokens: DECODED, repeat: 1 },
      });
      return only!.decodeMs / DECODED;
    },
    close: () => model.close(),
  };
}

const milliseconds = (ms: number) => `${ms.toPrecision(3)} ms`;
const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** How far a value is from the first of its group. */
function relative(value: number, first: number): string {
  if (value === first) return "";
  const percent = Math.round(100 * (value / first - 1));
  return ` (${percent < 0 ? "" : "+"}${percent}%)`;
}

function group(
  title: string,
  labels: readonly string[],
  values: readonly number[],
  write: (v: number) => string,
): BarGroup {
  const bars = labels.map((label, i) => {
    const value = values[i]!;
    return { label, value, text: write(value) + relative(value, values[0]!) };
  });
  return { title, bars };
}

/** Serial against parallel blocks. */
async function compareBlocks(backend: Backend, base: ModelConfig): Promise<BarGroup[]> {
  const contenders = [false, true].map((parallelBlock) =>
    trainer(backend, {
      label: parallelBlock ? "parallel" : "serial",
      config: { ...base, parallelBlock },
    })
  );
  const times = await race(contenders);
  const labels = contenders.map(({ label }) => label);
  return [group(`Block: forward and backward of ${rows} tokens`, labels, times, milliseconds)];
}

/** Kv heads: as many as query heads, one for four, one. */
async function compareHeads(backend: Backend, base: ModelConfig): Promise<BarGroup[]> {
  const heads = base.numAttentionHeads;
  const grouped = heads % 4 === 0 ? heads / 4 : heads / 2;
  const configs = [["MHA", heads], ["GQA", grouped], ["MQA", 1]].map(([name, kv]) => ({
    label: `${name} (${heads}/${kv})`,
    config: { ...base, numKeyValueHeads: kv as number, maxPositionEmbeddings: context },
  }));
  const labels = configs.map(({ label }) => label);
  const times = await race(configs.map((one) => decoder(backend, one)));
  const sizes = configs.map(({ config }) => kvCacheBytes(config, { positions: context }));
  return [
    group(`Heads: one token after ${context}`, labels, times, milliseconds),
    group(`Heads: cache of ${context} positions`, labels, sizes, megabytes),
  ];
}

/** What the backward pass computes again. */
async function compareRecompute(backend: Backend, config: ModelConfig): Promise<BarGroup[]> {
  const settings = ["none", "selective", "full"] as const;
  const times = await race(
    settings.map((recompute) => trainer(backend, { label: recompute, config, recompute })),
  );
  const sizes = settings.map((recompute) => {
    const { kept, working } = planTrainingBytes(config, { maxRows: rows, recompute });
    return kept + working;
  });
  return [
    group(`Recomputation: forward and backward of ${rows} tokens`, settings, times, milliseconds),
    group(`Recomputation: activations of ${rows} tokens`, settings, sizes, megabytes),
  ];
}

/** Runs all comparisons, prints them and draws them. */
async function main(): Promise<void> {
  const { preset, out, force } = options;
  checkOutputPath(out, { force });
  const base = { ...presetOf(preset).config, vocabSize: VOCABULARY };
  const threads = count("threads");
  using opened = await open(options.backend as BackendName | undefined, threads);
  const { backend } = opened;
  const { isa } = backend.info;
  const title =
    `${preset} with ${VOCABULARY} tokens on ${backend.name} (${isa}, threads ${threads})`;
  console.log(title);
  const groups: BarGroup[] = [];
  for (const compare of [compareBlocks, compareHeads, compareRecompute]) {
    for (const found of await compare(backend, base)) {
      groups.push(found);
      console.log(`\n${found.title}`);
      for (const { label, text } of found.bars) console.log(`  ${label.padEnd(12)} ${text}`);
    }
  }
  writeFileAtomically(out, barChart(groups), { force });
  console.log(`\nwritten: ${out}`);
}

/** A backend that `using` closes. */
async function open(
  name: BackendName | undefined,
  threads: number,
): Promise<Disposable & { readonly backend: Backend }> {
  const backend = await openBackend({ ...(name === undefined ? {} : { backend: name }), threads });
  await backend.ready();
  return { backend, [Symbol.dispose]: () => backend.close() };
}

try {
  await main();
} catch (error) {
  if (!(error instanceof LlameroError)) throw error;
  console.error(error.message + (error.hint === undefined ? "" : `\nhint: ${error.hint}`));
  Deno.exit(error.exitCode);
}
