import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder, TINY_CONFIG, tinyRun } from "./train_fixture.ts";

Deno.test("train --resume needs nothing else, and only the course may change", async () => {
  await inTrainingFolder(async (folder) => {
    const out = join(folder.folder, "run");
    assert.equal(
      (await runCli([...tinyRun(folder, "run"), "--steps", "6", "--save-every", "3"])).code,
      0,
    );
    const longer = ["train", "--out", out, "--resume", "--steps", "9"];
    const { code, stderr } = await runCli(longer);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /going on after step 6/);
    assert.equal(readMetrics(runPaths(out).metrics).length, 9);
    const refused = await runCli(["train", "--out", out, "--resume", "--lr", "1"]);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /Cannot resume with another "lr": it is 1, and the run has 0.003/);
    assert.equal((await runCli(["train", "--out", out, "--resume", "--lr", "0.003"])).code, 0);
    const before = readFileSync(runPaths(out).config, "utf8");
    const passed = await runCli(["train", "--out", out, "--resume", "--steps", "8"]);
    assert.equal(passed.code, 2);
    assert.match(passed.stderr, /until step 8: the run has done 9, and no fewer were wanted/);
    assert.equal(readFileSync(runPaths(out).config, "utf8"), before);
  });
});

Deno.test("a run goes on after it was moved, and by the command that began it", async () => {
  await inTrainingFolder(async (folder) => {
    const begin = [...tinyRun(folder, "run"), "--eval-data", folder.text, "--save-every", "3"];
    assert.equal((await runCli([...begin, "--steps", "6"])).code, 0);
    const again = await runCli([...begin, "--steps", "7", "--resume"]);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /going on after step 6/);
    const other = await runCli([...begin, "--text", folder.tokenizer, "--resume"]);
    assert.equal(other.code, 2);
    assert.match(
      other.stderr,
      /another "text": it is \[.*bytes\.model"\], and the run has \[".*txt"\]/,
    );
    const moved = join(folder.folder, "elsewhere");
    renameSync(join(folder.folder, "run"), moved);
    const { code, stderr } = await runCli(["train", "--out", moved, "--resume", "--steps", "9"]);
    assert.equal(code, 0, stderr);
    assert.equal(readMetrics(runPaths(moved).metrics).length, 9);
  });
});

Deno.test("a run goes on with its file of settings, and with what may change of another", async () => {
  await inTrainingFolder(async (folder) => {
    const begin = [...tinyRun(folder, "run"), "--steps", "4", "--save-every", "2"];
    assert.equal((await runCli(begin)).code, 0);
    const out = join(folder.folder, "run");
    const other = join(folder.folder, "other.toml");
    const resumed = (toml: string, ...flags: string[]) => {
      writeFileSync(other, toml);
      return runCli(["train", "--out", out, "--resume", "--config", other, ...flags]);
    };
    const longer = await resumed(`${TINY_CONFIG.replace("[model]", "steps = 6\n[model]")}`);
    assert.equal(longer.code, 0, longer.stderr);
    assert.equal(readMetrics(runPaths(out).metrics).length, 6);
    const flag = await resumed("tokens = 5000\nkeep = 1\n", "--steps", "8");
    assert.equal(flag.code, 0, flag.stderr);
    assert.deepEqual(readdirSync(runPaths(out).checkpoints).sort(), ["latest", "step-000008"]);
    for (
      const [toml, refusal] of [
        ["lr = 1\n", /another "lr": it is 1, and the run has 0.003/],
        ["[model]\nhidden-size = 32\n", /"model.hidden-size": it is 32, and the run has 16/],
        ['preset = "llama-15m"\n', /another "preset": it is "llama-15m", and the run has "debug"/],
        ["leraning-rate = 1\n", /there is no setting "leraning-rate"/],
      ] as const
    ) {
      const { code, stderr } = await resumed(toml);
      assert.equal(code, 2, toml);
      assert.match(stderr, refusal);
    }
  });
});

Deno.test("resuming what is no run is refused", async () => {
  await inTrainingFolder(async ({ folder }) => {
    const { code, stderr } = await runCli(["train", "--out", join(folder, "none"), "--resume"]);
    assert.equal(code, 1);
    assert.match(stderr, /there is no run, which would have a config.toml/);
    assert.ok(!existsSync(join(folder, "none")));
  });
});

Deno.test("a run keeps the kernels it began with, asked for by name or as whichever are best", async () => {
  await inTrainingFolder(async (folder) => {
    const out = join(folder.folder, "run");
    assert.equal((await runCli([...tinyRun(folder, "run"), "--steps", "2"])).code, 0);
    const { config } = runPaths(out);
    const [line, ours] = /^backend = "(wasm|native|cuda)" +# auto, on the machine.*$/m
      .exec(readFileSync(config, "utf8"))!;
    const resumed = (steps: number, flags: readonly string[], env = {}) =>
      runCli(["train", "--out", out, "--resume", "--steps", `${steps}`, ...flags], { env });
    for (
      const [steps, flags, env] of [
        [3, ["--backend", ours!], {}],
        [4, ["--backend", "auto"], {}],
        [5, [], { LLAMERO_BACKEND: ours! }],
      ] as const
    ) {
      const { code, stderr } = await resumed(steps, flags, env);
      assert.equal(code, 0, stderr);
      assert.ok(readFileSync(config, "utf8").includes(line));
    }
    const other = ours === "wasm" ? "native" : "wasm";
    const refused = await resumed(6, [], { LLAMERO_BACKEND: other });
    assert.equal(refused.code, 2);
    assert.match(
      refused.stderr,
      new RegExp(`"backend": it is "${other}", and the run has "${ours}"`),
    );
    assert.match(refused.stderr, /hint: .*leave LLAMERO_BACKEND away/);
    // A run whose first session was killed before it had kernels has none to keep.
    writeFileSync(config, readFileSync(config, "utf8").replace(line, 'backend = "auto"'));
    const kept = await resumed(6, ["--backend", ours!]);
    assert.equal(kept.code, 0, kept.stderr);
  });
});
