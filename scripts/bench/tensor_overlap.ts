/**
 * Measures how much of tensor parallelism's communication is hidden behind products, over a slow link:
 *
 *     deno run -A scripts/bench/tensor_overlap.ts [--link RATE] [--hidden N] [--layers N] [--rows N]
 *       [--steps N] [--rounds N] [--json]
 *
 * as root on Linux: two MPI processes of one thread on hosts of their own (network namespaces) with a
 * link of that rate between them, such as 1gbit, are the tensor ranks of one model. They compute the
 * same gradients with exchanges that go on meanwhile, and with exchanges that are waited for where they
 * are started; it compares how long the ranks wait.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { presetOf } from "../../lib/model/presets.ts";
import type { TrainBatch } from "../../lib/model/training/trainable.ts";
import { NO_HOSTS, openHosts } from "../../tests/comm/mpi/hosts.ts";
import { launch } from "../../tests/comm/mpi/launch.ts";
import type { OverlapInput, OverlapResult, run, Waited } from "./tensor_overlap_program.ts";
import { median } from "../../lib/base/median.ts";

const PROGRAM = new URL("./tensor_overlap_program.ts", import.meta.url);
const VOCABULARY = 512;

const { values: options } = parseArgs({
  options: {
    link: { type: "string", default: "1gbit" },
    hidden: { type: "string", default: "512" },
    layers: { type: "string", default: "4" },
    rows: { type: "string", default: "1024" },
    steps: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});

/** Any tokens, in four sequences. */
function batchOf(rows: number): TrainBatch {
  const length = rows / 4;
  const draw = (factor: number) =>
    Int32Array.from({ length: rows }, (_, row) => (row * row * factor + 3 * row) % VOCABULARY);
  const starts = Int32Array.from({ length: rows }, (_, row) => row - row % length);
  const positions = starts.map((start, row) => row - start);
  return { sequences: 4, length, tokens: draw(7), targets: draw(5), starts, positions };
}

function inputOf(): OverlapInput {
  const [hiddenSize, numHiddenLayers, rows, steps] = [
    ...[options.hidden, options.layers, options.rows, options.steps].map(Number),
  ] as [number, number, number, number];
  const config = {
    ...presetOf("debug").config,
    ...{ hiddenSize, numHiddenLayers, intermediateSize: Math.round(hiddenSize * 2.75 / 64) * 64 },
    ...{ numAttentionHeads: hiddenSize / 64, numKeyValueHeads: hiddenSize / 64, headDim: 64 },
    vocabSize: VOCABULARY,
  };
  return { config, batch: batchOf(rows), steps };
}

if (NO_HOSTS !== undefined) throw new Error(`several hosts are wanted: ${NO_HOSTS}`);
using hosts = openHosts();
if (!hosts.slow(options.link)) throw new Error("tc can neither netem nor tbf here");
const rounds: OverlapResult[] = [];
for (let round = 0; round < Number(options.rounds); round++) {
  const { ends } = await launch<ReturnType<typeof run>>(PROGRAM, {
    ...{ ranks: 2, launcher: hosts.launcher, input: inputOf() },
  });
  for (const { code, said, result } of ends) {
    if (code !== 0 || result === undefined) throw new Error(said);
    if (!(await result).same) throw new Error("hidden exchanges changed the loss");
    rounds.push(await result);
  }
}
const of = (which: "hidden" | "exposed", value: keyof Omit<Waited, "byKind">) =>
  median(rounds.map((round) => round[which][value]));
const found = {
  link: options.link,
  "a step, exchanges meanwhile: ms": of("hidden", "stepMs"),
  "waited of it: ms": of("hidden", "waitedMs"),
  "a step, exchanges waited for: ms": of("exposed", "stepMs"),
  "waited of that: ms": of("exposed", "waitedMs"),
  "hidden share": median(rounds.map((r) => 1 - r.hidden.waitedMs / r.exposed.waitedMs)),
  "exposed share of a step": median(rounds.map((r) => r.hidden.waitedMs / r.hidden.stepMs)),
};
if (options.json) console.log(JSON.stringify(found));
else for (const [what, value] of Object.entries(found)) console.log(`${what}: ${value}`);
