/**
 * Replays the steps of published runs on paper, every pass of every micro-batch with the communication
 * beside it, and compares with what the papers say:
 *
 *     deno run scripts/simulate.ts [--json] [--fit]
 *     deno run --allow-write scripts/simulate.ts --trace FILE --run llama3.1-405b
 *
 * Each chip has one fitted constant, `sustained` in `lib/plan/efficiency.ts`; `--fit` finds it again. What
 * else goes in is the makers' or was measured by others with small programs. It fails where a figure is
 * missed by more than 10%. `--trace` writes every task of a step, rank by rank of the pipeline and lane by
 * lane, as Perfetto and chrome://tracing read them.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { meshText } from "../lib/comm/mesh.ts";
import { efficiencyOf } from "../lib/plan/efficiency.ts";
import { type ChipName, CHIPS } from "../lib/plan/hardware.ts";
import { PUBLISHED_RUNS } from "../lib/plan/published.ts";
import {
  fitSustained,
  heldOutResiduals,
  recordRun,
  type Residual,
  residuals,
} from "../lib/plan/residuals.ts";

/** Largest relative error that is taken. */
const TOLERANCE = 0.1;

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    fit: { type: "boolean", default: false },
    trace: { type: "string" },
    run: { type: "string" },
  },
});

const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)}%`;
const signed = (share: number) => (share < 0 ? "" : "+") + percent(share);

/** Rows in columns as wide as their widest cell; the first is text, the others are numbers. */
function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  for (const row of rows) {
    const cells = row.map((cell, at) =>
      at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)
    );
    console.log(`  ${cells.join("  ").trimEnd()}`);
  }
}

function printFigures(title: string, all: readonly Residual[]): void {
  console.log(`${title}\n`);
  const rows = all.map(({ run, unit, published, predicted, error }) => [
    run.preset,
    `${run.devices} x ${run.hardware}`,
    published.toPrecision(4),
    predicted.toPrecision(4),
    unit,
    signed(error),
  ]);
  printTable([["run", "devices", "published", "on paper", "", "error"], ...rows]);
}

function printSeconds(all: readonly Residual[]): void {
  console.log("\nWhere the seconds of a step go\n");
  const rows = all.filter(({ unit }) => unit !== "x one pod").map(({ run, replay }) => {
    const share = (seconds: number) => percent(seconds / replay.step);
    const { communication: { tensor, replicas, pipeline } } = replay;
    const hidden = 1 - (replay.tensor + replay.replicas) / (tensor + replicas);
    return [
      `${run.preset} on ${run.devices}`,
      replay.step.toFixed(2),
      share(replay.computing),
      share(replay.tensor),
      share(replay.replicas),
      share(replay.pipeline),
      share(replay.optimizer),
      share(tensor + replicas + pipeline),
      percent(hidden, 0),
      String(replay.tasks),
    ];
  });
  printTable([
    [
      "run",
      "seconds",
      "computing",
      "tensor",
      "replicas",
      "bubble",
      "optimizer",
      "communication",
      "hidden",
      "passes",
    ],
    ...rows,
  ]);
  console.log(
    "\n  tensor, replicas: communication that computing waits for; hidden: the share of all",
  );
  console.log("  of it that is not waited for");
}

function printSettings(all: readonly Residual[]): void {
  console.log("\nHow the steps are shared out\n");
  for (const { run: { preset, devices, step, assumed, source }, unit } of all) {
    if (unit === "x one pod") continue;
    const { mesh, zero, chunks, microBatch, recompute } = step;
    const stages = chunks > 1 ? `, ${chunks} stages a rank` : "";
    console.log(
      `  ${preset} on ${devices} (${source}): ${meshText(mesh)}, ZeRO ${zero}${stages}, ` +
        `micro-batch ${microBatch}, recompute ${recompute}`,
    );
    console.log(`    not in the paper: ${assumed.join("; ")}`);
  }
}

function printFits(fits: ReadonlyMap<ChipName, number> | undefined, figures: number): void {
  console.log(`\nFitted: one constant for each chip, ${CHIPS.length} for ${figures} figures\n`);
  for (const chip of CHIPS) {
    const { sustained, matmul, fits: to } = efficiencyOf(chip);
    const again = fits === undefined ? "" : `; fitted again: ${fits.get(chip)!.toFixed(3)}`;
    console.log(
      `  ${chip}: products sustain ${sustained.toFixed(3)} of the measured ${matmul} of the peak ` +
        `(${to.join(", ")})${again}`,
    );
  }
}

/** Writes the tasks of a published run's step. */
function writeTrace(file: string, preset: string | undefined): void {
  const run = PUBLISHED_RUNS.find((one) => one.preset === preset);
  if (run === undefined) {
    const known = [...new Set(PUBLISHED_RUNS.map((one) => one.preset))].join(", ");
    console.error(`Cannot trace --run "${preset ?? ""}": known are ${known}`);
    Deno.exit(2);
  }
  const lanes = ["compute", "shard", "data", "send"];
  const events: object[] = Array.from({ length: run.step.mesh.pipeline }, (_, pid) => [
    { ph: "M", name: "process_name", pid, args: { name: `rank ${pid} of the pipeline` } },
    ...lanes.map((name, tid) => ({ ph: "M", name: "thread_name", pid, tid, args: { name } })),
  ]).flat();
  const micro = (seconds: number) => Math.round(1e6 * seconds);
  recordRun(run, (rank, { lane, name, start, end }) => {
    events.push({
      ...{ ph: "X", name, pid: rank, tid: lanes.indexOf(lane) },
      ...{ ts: micro(start), dur: micro(end - start) },
    });
  });
  Deno.writeTextFileSync(file, JSON.stringify({ traceEvents: events }));
  console.log(`${events.length} tasks of ${run.preset} on ${run.devices} devices: ${file}`);
  Deno.exit(0);
}

if (options.trace !== undefined) writeTrace(options.trace, options.run);
const all = residuals();
const heldOut = heldOutResiduals();
const fits = options.fit
  ? new Map(CHIPS.map((chip) => [chip, fitSustained(chip)] as const))
  : undefined;
if (options.json) {
  const constants = CHIPS.map((chip) => ({
    chip,
    ...efficiencyOf(chip),
    ...(fits === undefined ? {} : { refitted: fits.get(chip)! }),
  }));
  console.log(JSON.stringify({ figures: all, heldOut, constants }));
} else {
  printFigures("Published figures and the step on paper", all);
  printFigures("\nThe same of runs that nothing is fitted to", heldOut);
  printSeconds(all);
  printSettings(all);
  printFits(fits, all.length);
}
const missed = all.filter(({ error }) => Math.abs(error) > TOLERANCE);
if (missed.length > 0) {
  console.error(`missed by more than ${percent(TOLERANCE, 0)}: ${missed.length} figures`);
  Deno.exit(1);
}
