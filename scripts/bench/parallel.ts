/**
 * Measures data parallelism between processes against threads within one:
 *
 *     deno run -A scripts/bench/parallel.ts [--preset NAME] [--accumulation N] [--seq-len N]
 *       [--steps N] [--rounds N] [--json]
 *
 * One process of two threads and two MPI processes of one thread each train the same steps by turns;
 * the medians of their tokens per second are compared. Both compute on as many processors, so that
 * what differs is gradients that travel, against threads that wait for one another in every product.
 *
 *     deno run -A scripts/bench/parallel.ts --link RATE
 *
 * as root on Linux: two MPI processes on hosts of their own (network namespaces) with a link of that
 * rate between them, such as 400mbit, once with gradients that travel in buckets while others are
 * still computed, and once with all in one bucket when the backward pass is over; it compares how
 * long the ranks wait.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { openBackend } from "../../lib/backend/open.ts";
import { asError } from "../../lib/base/errors.ts";
import { Mesh } from "../../lib/comm/mesh.ts";
import { openWorld } from "../../lib/comm/open.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { benchTrain } from "../../lib/train/bench.ts";
import { resolveRun } from "../../lib/train/run_config.ts";
import { MPIRUN } from "../../tests/comm/mpi/launch.ts";
import { NO_HOSTS, openHosts } from "../../tests/comm/mpi/hosts.ts";

const { values: options } = parseArgs({
  options: {
    preset: { type: "string", default: "llama-15m" },
    accumulation: { type: "string", default: "8" },
    "seq-len": { type: "string", default: "256" },
    "micro-batch": { type: "string", default: "4" },
    steps: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    link: { type: "string" },
    bucket: { type: "string" },
    threads: { type: "string", default: "1" },
    rank: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

/** What a rank tells. */
interface Measured {
  readonly ranks: number;
  readonly tokensPerSecond: number;
  readonly stepMs: number;
  /** Of a step, on this rank. */
  readonly waitedMs: number;
  /** In a step, by this rank. */
  readonly sentBytes: number;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** Trains as one rank; rank 0 prints what it measured. */
async function measure(): Promise<void> {
  const world = openWorld({ environment: (name) => Deno.env.get(name) });
  const { communicator } = world;
  try {
    const { preset } = options;
    const [seqLen, microBatch, steps] = [options["seq-len"], options["micro-batch"], options.steps]
      .map(Number) as [number, number, number];
    const batchTokens = seqLen * microBatch * Number(options.accumulation);
    const settings = { preset, seqLen, microBatch, batchTokens, steps: 1000, warmup: 0, seed: 1 };
    const { config: { vocabSize } } = presetOf(preset);
    const layer = { settings, origin: () => "flag" };
    const config = resolveRun([layer], { vocabulary: { vocabSize } });
    const backend = await openBackend({ backend: "native", threads: Number(options.threads) });
    const one = { shard: 1, tensor: 1, pipeline: 1 };
    const mesh = new Mesh(communicator, { data: communicator.size, ...one });
    const bucketBytes = options.bucket === undefined ? undefined : Number(options.bucket);
    const benched = await benchTrain(backend, config, { steps, mesh, bucketBytes });
    backend.close();
    const stepMs = median(benched.stepMs);
    const measured: Measured = {
      ranks: communicator.size,
      tokensPerSecond: benched.tokens / stepMs * 1000,
      stepMs,
      waitedMs: benched.waitedMs / steps,
      sentBytes: benched.sentBytes / steps,
    };
    if (communicator.rank === 0) console.log(JSON.stringify(measured));
    world.close();
  } catch (thrown) {
    world.fail(asError(thrown));
    throw thrown;
  }
}

/** Runs this script as ranks. */
async function ranks(
  launcher: readonly string[],
  changes: Readonly<Record<string, string>>,
): Promise<Measured> {
  const asked = { ...options, ...changes, rank: undefined, json: undefined, link: undefined };
  const flags = Object.entries(asked)
    .flatMap(([name, value]) => value === undefined ? [] : [`--${name}=${value}`]);
  const script = new URL(import.meta.url).pathname;
  const command = [...launcher, Deno.execPath(), "run", "-A", script, "--rank", ...flags];
  const { success, stdout, stderr } = await new Deno.Command(command[0]!, {
    args: command.slice(1),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout)) as Measured;
}

const TWO = ["mpirun", ...MPIRUN, "-n", "2"];

async function againstThreads(): Promise<object> {
  const contenders = {
    "one process, two threads": () => ranks([], { threads: "2" }),
    "two processes, a thread each": () => ranks(TWO, { threads: "1" }),
  };
  const rates = { ...contenders } as unknown as Record<string, Measured[]>;
  for (const name of Object.keys(contenders)) rates[name] = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [name, run] of Object.entries(contenders)) rates[name]!.push(await run());
  }
  const [threads, processes] = Object.values(rates);
  const ratios = processes!.map((two, i) => two.tokensPerSecond / threads![i]!.tokensPerSecond);
  return {
    ...Object.fromEntries(
      Object.entries(rates).map((
        [name, runs],
      ) => [`${name}: tokens/s`, median(runs.map((run) => run.tokensPerSecond))]),
    ),
    "ratio, median of the rounds": median(ratios),
    "share of a step spent waiting": median(processes!.map((run) => run.waitedMs / run.stepMs)),
    "bytes that a rank sends in a step": processes![0]!.sentBytes,
  };
}

/** One bucket for all gradients: it leaves when the backward pass is over. */
const ONE_BUCKET = String(2 ** 40);

async function overlapped(rate: string): Promise<object> {
  if (NO_HOSTS !== undefined) throw new Error(`several hosts are wanted: ${NO_HOSTS}`);
  using hosts = openHosts();
  if (!hosts.slow(rate)) throw new Error("tc can neither netem nor tbf here");
  const two = [...hosts.launcher, "-n", "2"];
  const [withOverlap, without]: [number[], number[]] = [[], []];
  let last: Measured | undefined;
  for (let round = 0; round < Number(options.rounds); round++) {
    withOverlap.push((last = await ranks(two, {})).waitedMs);
    without.push((await ranks(two, { bucket: ONE_BUCKET })).waitedMs);
  }
  const [hidden, exposed] = [median(withOverlap), median(without)];
  return {
    link: rate,
    "waited in a step, in buckets: ms": hidden,
    "waited in a step, in one piece: ms": exposed,
    "hidden share": 1 - hidden / exposed,
    "a step, in buckets: ms": last!.stepMs,
    "bytes that a rank sends in a step": last!.sentBytes,
  };
}

if (options.rank) await measure();
else {
  const found = options.link === undefined
    ? await againstThreads()
    : await overlapped(options.link);
  if (options.json) console.log(JSON.stringify(found));
  else for (const [what, value] of Object.entries(found)) console.log(`${what}: ${value}`);
}
