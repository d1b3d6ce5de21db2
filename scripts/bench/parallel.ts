/**
 * Measures data parallelism between processes against threads within one:
 *
 *     deno run -A scripts/bench/parallel.ts [--preset NAME] [--seq-len N] [--micro-batch N]
 *       [--accumulation N] [--steps N] [--rounds N] [--json]
 *
 * One process of two threads and two MPI processes of one thread each train the same steps by turns;
 * the medians of their tokens per second are compared. Both compute on as many processors, so that
 * what differs is gradients that travel, against threads that wait for one another in every product.
 *
 *     deno run -A scripts/bench/parallel.ts --link RATE [--threads N] [--bucket BYTES] …
 *
 * as root on Linux: two MPI processes on hosts of their own (network namespaces) with a link of that
 * rate between them, such as 400mbit, once with gradients that travel while others are still computed,
 * and once with the same buckets when the backward pass is over; it compares how long the ranks wait.
 *
 * It takes as long as its training: two runs a round, of the steps and two before them to warm up,
 * each of sequence length times micro-batch times accumulation tokens. Without flags that is a
 * quarter of a million tokens of llama-15m, which keep two cores busy for several minutes;
 * `--rounds 1 --steps 1 --accumulation 4` trains a twentieth of them. What it is at, and each run's
 * figures, go to stderr.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { WARM_UP } from "../../lib/train/bench.ts";
import { NO_HOSTS, openHosts } from "../../tests/comm/mpi/hosts.ts";
import { launch, NO_MPI } from "../../tests/comm/mpi/launch.ts";
import { median } from "../../lib/base/median.ts";
import type { Measured, ParallelInput } from "./parallel_program.ts";

const PROGRAM = new URL("./parallel_program.ts", import.meta.url);

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
    json: { type: "boolean", default: false },
  },
});

function count(
  name: "accumulation" | "seq-len" | "micro-batch" | "steps" | "rounds" | "threads" | "bucket",
): number {
  const value = Number(options[name]);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new Error(`--${name} ${options[name]}: whole numbers from 1 are wanted`);
}

const ROUNDS = count("rounds");
const INPUT: ParallelInput = {
  preset: options.preset,
  seqLen: count("seq-len"),
  microBatch: count("micro-batch"),
  accumulation: count("accumulation"),
  steps: count("steps"),
  threads: count("threads"),
  bucketBytes: options.bucket === undefined ? undefined : count("bucket"),
};

/** One of the two that train by turns. */
interface Contender {
  readonly name: string;
  readonly ranks: number;
  readonly input: ParallelInput;
  /** What starts its ranks; `mpirun` without. */
  readonly launcher?: readonly string[];
}

/** Trains as a contender does; what its first rank measured. */
async function trained({ ranks, input, launcher }: Contender): Promise<Measured> {
  const found = launcher === undefined ? {} : { launcher };
  const { ends } = await launch<Measured>(PROGRAM, { ranks, input, ...found });
  for (const { code, said, result } of ends) {
    if (code !== 0 || result === undefined) throw new Error(said);
  }
  return ends[0]!.result!;
}

/** Runs both by turns, and says on stderr what each run found. */
async function byTurns(contenders: readonly [Contender, Contender]): Promise<Measured[][]> {
  const { seqLen, microBatch, accumulation, steps } = INPUT;
  const tokens = seqLen * microBatch * accumulation;
  const runs = `${2 * ROUNDS} runs of ${WARM_UP + steps} steps of ${tokens} tokens`;
  console.error(`${INPUT.preset}: ${runs}`);
  const measured: Measured[][] = contenders.map(() => []);
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [at, contender] of contenders.entries()) {
      const run = await trained(contender);
      measured[at]!.push(run);
      const { tokensPerSecond, stepMs, waitedMs } = run;
      const speed = `${tokensPerSecond.toFixed(0)} tokens/s`;
      const step = `${(stepMs / 1000).toFixed(2)} s a step, ${waitedMs.toFixed(0)} ms of it waited`;
      console.error(`round ${round} of ${ROUNDS}, ${contender.name}: ${speed}, ${step}`);
    }
  }
  return measured;
}

async function againstThreads(): Promise<object> {
  if (NO_MPI !== undefined) throw new Error(`MPI is wanted: ${NO_MPI}`);
  const names = ["one process, two threads", "two processes, a thread each"] as const;
  const [threads, processes] = await byTurns([
    { name: names[0], ranks: 1, input: { ...INPUT, threads: 2 } },
    { name: names[1], ranks: 2, input: { ...INPUT, threads: 1 } },
  ]) as [Measured[], Measured[]];
  const speed = (runs: readonly Measured[]) => median(runs.map((run) => run.tokensPerSecond));
  const ratios = processes.map((two, i) => two.tokensPerSecond / threads[i]!.tokensPerSecond);
  return {
    [`${names[0]}: tokens/s`]: speed(threads),
    [`${names[1]}: tokens/s`]: speed(processes),
    "ratio, median of the rounds": median(ratios),
    "share of a step spent waiting": median(processes.map((run) => run.waitedMs / run.stepMs)),
    "bytes that a rank sends in a step": processes[0]!.sentBytes,
  };
}

async function overlapped(rate: string): Promise<object> {
  if (NO_HOSTS !== undefined) throw new Error(`several hosts are wanted: ${NO_HOSTS}`);
  using hosts = openHosts();
  if (!hosts.slow(rate)) throw new Error("tc can neither netem nor tbf here");
  const two = { ranks: 2, launcher: hosts.launcher };
  const [early, late] = await byTurns([
    { ...two, name: "while others are computed", input: INPUT },
    { ...two, name: "when all are computed", input: { ...INPUT, overlap: false } },
  ]) as [Measured[], Measured[]];
  const waited = (runs: readonly Measured[]) => median(runs.map((run) => run.waitedMs));
  return {
    link: rate,
    "waited in a step, overlapped: ms": waited(early),
    "waited in a step, otherwise: ms": waited(late),
    "hidden share": 1 - waited(early) / waited(late),
    "a step, overlapped: ms": median(early.map((run) => run.stepMs)),
    "a step, otherwise: ms": median(late.map((run) => run.stepMs)),
    "bytes that a rank sends in a step": early[0]!.sentBytes,
  };
}

const found = options.link === undefined ? await againstThreads() : await overlapped(options.link);
if (options.json) console.log(JSON.stringify(found));
else for (const [what, value] of Object.entries(found)) console.log(`${what}: ${value}`);
