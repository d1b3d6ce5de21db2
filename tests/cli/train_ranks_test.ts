import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type MetricsRow, readMetrics } from "../../lib/train/metrics.ts";
import { checkpointSteps, runPaths } from "../../lib/train/run_folder.ts";
import { readEvents } from "../../lib/train/events.ts";
import { writeDataset } from "../data/dataset_fixture.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { assertSameRun } from "../train/tolerances.ts";
import { type Outcome, runCli } from "./run_cli.ts";
import { inTrainingFolder, type TrainingFolder } from "./train_fixture.ts";

/** Trains a tiny model and returns the outcome with the rows of its metrics. */
async function tiny(
  { folder, inputs }: TrainingFolder,
  run: string,
  ...flags: string[]
): Promise<Outcome & { readonly rows: MetricsRow[]; readonly run: string }> {
  const out = join(folder, run);
  const outcome = await runCli(["train", "--out", out, ...inputs, "--steps", "6", ...flags]);
  return { ...outcome, rows: readMetrics(runPaths(out).metrics), run: out };
}

Deno.test("two virtual ranks train what one process trains; only the first one prints", async () => {
  await inTrainingFolder(async (folder) => {
    const evaluated = ["--eval-data", folder.text, "--save-every", "3", "--log-every", "1"];
    const one = await tiny(folder, "one", ...evaluated);
    const two = await tiny(folder, "two", ...evaluated, "--virtual-ranks", "2", "--json");
    assert.equal(two.code, 0, two.stderr);
    assert.equal(two.rows.length, 6);
    assertSameRun(two.rows, one.rows);
    assert.deepEqual(two.rows.map(({ tokens }) => tokens), one.rows.map(({ tokens }) => tokens));
    for (const step of [1, 2, 3, 4, 5, 6]) {
      assert.equal(two.stderr.split(`step ${step}/6`).length, 2, two.stderr);
    }
    const { loss, checkpoint } = JSON.parse(two.stdout);
    assert.equal(loss, two.rows.at(-1)!.loss);
    assert.match(checkpoint, /step-000006$/);
    const config = readFileSync(runPaths(two.run).config, "utf8");
    assert.match(config, /^virtual-ranks = 2 +# flag --virtual-ranks$/m);
    // Each of two ranks sends all gradients once a step: 2 (N-1)/N of them.
    const parameters = Number(/^# ([\d,]+) parameters$/m.exec(config)![1]!.replaceAll(",", ""));
    const reports = readEvents(runPaths(two.run).events)
      .filter((event) => event.event === "communication");
    assert.equal(reports.length, 6);
    const sent = reports.reduce((sum, { schemes }) => sum + schemes.data!.bytes, 0);
    const wanted = 6 * 2 * 4 * parameters;
    assert.ok(Math.abs(sent - wanted) <= 0.05 * wanted, `${sent} bytes, ${wanted} were wanted`);
    for (const { exposed } of reports) assert.ok(exposed >= 0 && exposed <= 1.05, `${exposed}`);
  });
});

Deno.test("a run of two ranks, twice or in two stretches, has the same bytes", async () => {
  await inTrainingFolder(async (folder) => {
    const ranks = ["--virtual-ranks", "2", "--mesh", "data=2", "--save-every", "3"];
    const whole = await tiny(folder, "whole", ...ranks);
    const half = await tiny(folder, "half", ...ranks, "--steps", "3");
    assert.equal(half.code, 0, half.stderr);
    const on = await runCli(["train", "--out", half.run, "--resume", "--steps", "6"]);
    assert.equal(on.code, 0, on.stderr);
    const [is, wanted] = [half.run, whole.run].map(runPaths);
    // The learning rate falls over the steps of the whole run, and half of it knew of three.
    assert.equal(readMetrics(is!.metrics).length, 6);
    const again = await tiny(folder, "again", ...ranks);
    assert.deepEqual(
      await checkpointHashes(runPaths(again.run)),
      await checkpointHashes(wanted!),
    );
    assert.deepEqual(timeless(again.rows), timeless(whole.rows));
  });
});

Deno.test("virtual ranks go on as many as another mesh has, or as one process", async () => {
  await inTrainingFolder(async (folder) => {
    const { run, code, stderr } = await tiny(folder, "run", "--virtual-ranks", "2");
    assert.equal(code, 0, stderr);
    const steps: [flags: string[], ranks: number][] = [
      [["--mesh", "data=4"], 4],
      [["--mesh", "shard=2", "--zero", "2"], 2],
      [["--mesh", "data=1"], 1],
      [["--mesh", "auto", "--virtual-ranks", "2"], 2],
    ];
    for (const [i, [flags, ranks]] of steps.entries()) {
      const on = ["train", "--out", run, "--resume", "--steps", `${7 + i}`, ...flags];
      const resumed = await runCli(on);
      assert.equal(resumed.code, 0, resumed.stderr);
      const config = readFileSync(runPaths(run).config, "utf8");
      assert.match(config, new RegExp(`^virtual-ranks = ${ranks} `, "m"));
      assert.equal(readMetrics(runPaths(run).metrics).length, 7 + i);
    }
    const refused = await runCli(["train", "--out", run, "--resume", "--virtual-ranks", "3"]);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /data=3 times shard=1 does not divide 4 sequences/);
  });
});

Deno.test("a mesh that does not fit ranks or model is refused before anything is written", async () => {
  await inTrainingFolder(async (folder) => {
    const cases: readonly [flags: string[], message: RegExp][] = [
      [["--mesh", "data=2"], /mesh "data=2": it has 2 ranks and there is 1 rank/],
      [["--mesh", "data=2", "--virtual-ranks", "4"], /it has 2 ranks and there are 4 ranks/],
      [["--mesh", "data=3", "--virtual-ranks", "3"], /data=3 times shard=1 does not divide 4/],
      [["--mesh", "tensor=3", "--virtual-ranks", "3"], /tensor=3 does not divide \d+ heads/],
      [["--mesh", "pipeline=2", "--virtual-ranks", "2"], /pipeline=2 stages for 1 layers/],
      [["--mesh", "dta=2"], /"dta" is no axis/],
      [["--mesh", "data=0"], /"data" is "0"/],
      [["--zero", "4"], /Cannot set --zero to "4"/],
      [
        ["--reduce", "tree", "--micro-batch", "3", "--virtual-ranks", "2"],
        /one tree: 4 sequences of a step are no multiple of 2 replicas times micro-batches of 3/,
      ],
    ];
    for (const [flags, message] of cases) {
      const { code, stderr, run } = await tiny(folder, "refused", ...flags);
      assert.equal(code, 2, `${flags}: ${stderr}`);
      assert.match(stderr, message);
      assert.throws(() => Deno.statSync(run), Deno.errors.NotFound);
    }
  });
});

Deno.test("--restarts starts all virtual ranks again after one failed, so often at most", async () => {
  await inTrainingFolder(async ({ folder, tokenizer, config }) => {
    // One window has an id that the vocabulary has not.
    const documents = Array.from({ length: 40 }, (_, d) => {
      return Array.from({ length: 100 }, (_, i) => d === 30 && i === 50 ? 9999 : (d + i) % 256);
    });
    const data = writeDataset(join(folder, "data"), documents);
    const out = join(folder, "run");
    const set = ["--config", config, "--tokenizer", tokenizer, "--data", data, "--steps", "200"];
    const flags = ["--save-every", "2", "--virtual-ranks", "2", "--restarts", "2"];
    const { code, stderr } = await runCli(["train", "--out", out, ...set, ...flags]);
    assert.equal(code, 1);
    assert.match(stderr, /rank \d failed: .*9999.*; started again, 1 of 2/);
    assert.match(stderr, /started again, 2 of 2/);
    assert.match(stderr, /^llamero: The work of 2 ranks has ended: rank \d failed: .*9999/m);
    const events = readEvents(runPaths(out).events).map(({ event }) => event);
    assert.equal(events.filter((event) => event === "restart").length, 2);
    assert.equal(events.filter((event) => event === "start").length, 3);
    // What was done before the failure is there to go on from.
    assert.ok(checkpointSteps(runPaths(out)).length > 0);
  });
});

Deno.test("a sample of a model that is shared out is the text of one that is not", async () => {
  await inTrainingFolder(async (folder) => {
    const sampled = async (name: string, ...flags: string[]) => {
      const set = ["--sample-every", "3", "--sample-prompt", "line", "--virtual-ranks", "2"];
      const { code, stderr, run } = await tiny(folder, name, ...set, ...flags);
      assert.equal(code, 0, stderr);
      return readFileSync(runPaths(run).samples, "utf8").trim().split("\n");
    };
    const wanted = await sampled("data", "--mesh", "data=2");
    assert.equal(wanted.length, 2);
    for (const zero of ["1", "3"]) {
      const texts = await sampled(`zero${zero}`, "--mesh", "shard=2", "--zero", zero);
      assert.deepEqual(texts, wanted);
    }
  });
});
