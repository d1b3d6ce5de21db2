import assert from "node:assert/strict";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { assertSameRun } from "../train/tolerances.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder } from "./train_fixture.ts";

Deno.test("train --mesh tensor=2 is one process's run, and goes on under other meshes", async () => {
  await inTrainingFolder(async ({ folder, text, inputs }) => {
    const train = async (run: string, ...flags: string[]) => {
      const out = join(folder, run);
      const outcome = await runCli(["train", "--out", out, ...inputs, ...flags]);
      assert.equal(outcome.code, 0, outcome.stderr);
      return readMetrics(runPaths(out).metrics);
    };
    // One rate for all steps: three of them are the first three of six.
    const rate = ["--schedule", "constant", "--warmup", "1"];
    const same = ["--eval-data", text, "--save-every", "3", "--log-every", "1", ...rate];
    const wanted = await train("one", ...same, "--steps", "6");
    const ranks = ["--virtual-ranks", "2", "--mesh", "tensor=2"];
    const rows = await train("two", ...same, ...ranks, "--steps", "6");
    assertSameRun(rows, wanted);
    // Three steps of two tensor ranks, the rest by one process, by replicas and by the same.
    for (const mesh of ["data=1", "data=2", "tensor=2"]) {
      const run = `on ${mesh}`;
      await train(run, ...same, ...ranks, "--steps", "3");
      const size = mesh === "data=1" ? "1" : "2";
      const flags = ["--virtual-ranks", size, "--mesh", mesh, "--steps", "6"];
      const on = await runCli(["train", "--out", join(folder, run), "--resume", ...flags]);
      assert.equal(on.code, 0, on.stderr);
      const all = readMetrics(runPaths(join(folder, run)).metrics);
      assertSameRun(all, wanted);
    }
  });
});

Deno.test("a mesh whose tensor ranks do not divide the heads is refused before anything is written", async () => {
  await inTrainingFolder(async ({ folder, inputs }) => {
    const out = ["--out", join(folder, "none")];
    const mesh = ["--virtual-ranks", "3", "--mesh", "tensor=3"];
    const { code, stderr } = await runCli(["train", ...out, ...inputs, ...mesh]);
    assert.equal(code, 2);
    assert.match(stderr, /Cannot use mesh "tensor=3": tensor=3 does not divide \d+ heads/);
  });
});
