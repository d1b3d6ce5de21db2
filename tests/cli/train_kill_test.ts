import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { verifyCheckpoint } from "../../lib/train/checkpoint_read.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { checkpointSteps, runPaths } from "../../lib/train/run_folder.ts";
import { REPOSITORY } from "../fixtures.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { inTrainingFolder } from "./train_fixture.ts";

const KILLS = 20;
const STEPS = 400;

function llamero(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-all", "cli/main.ts", ...args],
    cwd: REPOSITORY,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

async function ended(child: Deno.ChildProcess): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await child.output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

/** Waits until a file has a row, so that the instants that follow lie inside the training. */
async function begun(child: Deno.ChildProcess, metrics: string, rows: number): Promise<void> {
  let alive = true;
  void child.status.then(() => alive = false);
  while (alive && readMetrics(metrics).length <= rows) await new Promise((r) => setTimeout(r, 5));
}

const WINDOWS = Deno.build.os === "windows";

Deno.test({
  name: `a run killed with SIGKILL at ${KILLS} random instants ends as one that never was`,
  ignore: WINDOWS,
  fn: () =>
    inTrainingFolder(async ({ folder, inputs }) => {
      // Saved so often that many of the instants are in the middle of a save.
      const flags = ["--steps", `${STEPS}`, "--save-every", "5", "--keep", "4", "--quiet"];
      const setup = [...inputs, ...flags];
      const whole = runPaths(join(folder, "whole"));
      const { code, stderr } = await ended(llamero(["train", "--out", whole.run, ...setup]));
      assert.equal(code, 0, stderr);
      const paths = runPaths(join(folder, "killed"));
      let args = ["train", "--out", paths.run, ...setup];
      let kills = 0;
      for (; kills < KILLS; kills++) {
        const rows = readMetrics(paths.metrics).length;
        const child = llamero(args);
        await begun(child, paths.metrics, rows);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
        try {
          child.kill("SIGKILL");
        } catch {
          // It was done already.
        }
        await child.output();
        for (const step of checkpointSteps(paths)) {
          await verifyCheckpoint(join(paths.checkpoints, `step-${`${step}`.padStart(6, "0")}`));
        }
        args = ["train", "--out", paths.run, "--resume", "--quiet"];
      }
      const last = await ended(llamero(args));
      assert.equal(last.code, 0, last.stderr);
      assert.deepEqual(await checkpointHashes(paths), await checkpointHashes(whole));
      const rows = timeless(readMetrics(paths.metrics));
      assert.equal(rows.length, STEPS);
      assert.deepEqual(rows, timeless(readMetrics(whole.metrics)));
      assert.deepEqual(readdirSync(paths.checkpoints).filter((name) => name.startsWith(".")), []);
    }),
});

Deno.test({
  name: "SIGINT finishes the step, saves and exits 130; a second trainer meanwhile is refused",
  ignore: WINDOWS,
  fn: () =>
    inTrainingFolder(async ({ folder, tokenizer, text, config }) => {
      const paths = runPaths(join(folder, "run"));
      const args = ["train", "--out", paths.run, "--config", config, "--tokenizer", tokenizer];
      const child = llamero([
        ...args,
        "--text",
        text,
        "--steps",
        "100000",
        "--save-every",
        "50000",
      ]);
      await begun(child, paths.metrics, 0);
      const second = await ended(llamero(["train", "--out", paths.run, "--resume"]));
      assert.equal(second.code, 1);
      assert.match(second.stderr, new RegExp(`process ${child.pid} is training there`));
      child.kill("SIGINT");
      const { code, stderr } = await ended(child);
      assert.equal(code, 130);
      const step = Number(/Interrupted after step (\d+), which is saved/.exec(stderr)?.[1]);
      assert.deepEqual(checkpointSteps(paths), [step]);
      assert.equal(readMetrics(paths.metrics).at(-1)!.step, step);
      assert.match(stderr, /hint: llamero train --out .* --resume/);
    }),
});
