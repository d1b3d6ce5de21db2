import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { counting, writeDataset } from "../data/dataset_fixture.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder, TINY_CONFIG, tinyRun } from "./train_fixture.ts";

Deno.test("train makes a run: config, metrics, event file, report, checkpoints", async () => {
  await inTrainingFolder(async (folder) => {
    const args = [...tinyRun(folder, "run"), "--steps", "20", "--save-every", "10", "--lr", "1e-2"];
    const { code, stdout, stderr } = await runCli([...args, "--eval-data", folder.text, "--json"]);
    assert.equal(code, 0, stderr);
    const paths = runPaths(join(folder.folder, "run"));
    const result = JSON.parse(stdout);
    assert.equal(result.step, 20);
    assert.equal(result.tokens, 20 * 64);
    assert.equal(result.checkpoint, join(paths.checkpoints, "step-000020"));
    const rows = readMetrics(paths.metrics);
    assert.equal(rows.length, 20);
    assert.deepEqual(Object.keys(rows[0]!), [
      ..."step tokens loss grad_norm lr tokens_per_second mfu step_ms".split(" "),
    ]);
    assert.ok(rows[9]!.eval_loss! > 0 && rows[19]!.eval_loss! < rows[9]!.eval_loss!);
    // The tokens are bytes: bits per byte are the nats per token over ln 2.
    assert.ok(Math.abs(rows[9]!.eval_bits_per_byte! - rows[9]!.eval_loss! / Math.LN2) < 1e-9);
    assert.match(readFileSync(paths.config, "utf8"), /^lr = 0.01 +# flag --lr$/m);
    assert.match(readFileSync(paths.config, "utf8"), /^seq-len = 16 +# .*tiny.toml$/m);
    assert.match(readFileSync(paths.config, "utf8"), /^clip = 1 +# preset debug$/m);
    assert.match(readdirSync(paths.tensorboard)[0]!, /^events\.out\.tfevents\./);
    const report = readFileSync(paths.report, "utf8");
    assert.match(report, /<polyline/);
    assert.doesNotMatch(report, /https?:/);
  });
});

Deno.test("flags come before a file where they exclude one another, and a file may not ask for both", async () => {
  await inTrainingFolder(async (folder) => {
    const data = writeDataset(join(folder.folder, "data"), [counting(200)]);
    const text = `text = ["${folder.text}"]\n`;
    const set = (lines: string) => `${lines}${TINY_CONFIG}`;
    const run = (toml: string, flags: readonly string[]) => {
      const config = join(folder.folder, "asked.toml");
      writeFileSync(config, toml);
      const args = ["train", "--out", join(folder.folder, "run"), "--force", "--config", config];
      return runCli([...args, "--tokenizer", folder.tokenizer, ...flags]);
    };
    const config = () => readFileSync(join(folder.folder, "run/config.toml"), "utf8");
    const steps = await run(set(`tokens = 1e9\n${text}`), ["--steps", "2", "--data", data]);
    assert.equal(steps.code, 0, steps.stderr);
    assert.match(config(), /^steps = 2 +# flag --steps$/m);
    assert.match(config(), /^path = ".*data"$/m);
    const tokens = await run(set(`steps = 9\ndata = ["${data}"]\n`), [
      ...["--tokens", "192", "--text", folder.text],
    ]);
    assert.equal(tokens.code, 0, tokens.stderr);
    assert.match(config(), /^steps = 3 +# 192 tokens, flag --tokens$/m);
    assert.match(config(), /^path = "data\/text"$/m);
    const length = await run(set(`steps = 9\ntokens = 1e9\n${text}`), []);
    assert.equal(length.code, 2);
    assert.match(length.stderr, /both --steps and --tokens/);
    const inputs = await run(set(`steps = 2\ndata = ["${data}"]\n${text}`), []);
    assert.equal(inputs.code, 2);
    assert.match(inputs.stderr, /both data and texts, which ".*asked.toml" asks for/);
  });
});

Deno.test("a sample that cannot be made is told and costs no run", async () => {
  await inTrainingFolder(async (folder) => {
    const long = ["--sample-prompt", "word ".repeat(100), "--steps", "2"];
    const { code, stderr } = await runCli([...tinyRun(folder, "run"), ...long]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /no sample of step 2: .*it has 50\d tokens, and the context holds 256/);
  });
});

Deno.test("weights that overflow end a run by its loss, which says what to do", async () => {
  await inTrainingFolder(async (folder) => {
    const args = [...tinyRun(folder, "run"), "--lr", "1e10", "--warmup", "0", "--steps", "40"];
    const { code, stderr } = await runCli(args);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /no sample of step \d+: Cannot choose a token/);
    assert.match(stderr, /\nllamero: Cannot go on: .* no finite gradients.*\nhint: lower --lr/);
  });
});

Deno.test("a run is not begun twice in one folder, unless forced", async () => {
  await inTrainingFolder(async (folder) => {
    const args = [...tinyRun(folder, "run"), "--steps", "2"];
    assert.equal((await runCli(args)).code, 0);
    const again = await runCli(args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /a run is there already\nhint: go on with it with --resume/);
    assert.equal((await runCli([...args, "--force", "--seed", "1"])).code, 0);
    const foreign = join(folder.folder, "foreign");
    await Deno.mkdir(foreign);
    await Deno.writeTextFile(join(foreign, "thesis.txt"), "years of work");
    const refused = await runCli([...tinyRun(folder, "foreign"), "--steps", "2", "--force"]);
    assert.match(refused.stderr, /it has "thesis.txt", which is of no run/);
    assert.ok(existsSync(join(foreign, "thesis.txt")));
  });
});

Deno.test("train with a first model goes on from its weights", async () => {
  await inTrainingFolder(async (folder) => {
    const schedule = ["--steps", "5", "--schedule", "constant", "--warmup", "0", "--lr", "1e-2"];
    assert.equal((await runCli([...tinyRun(folder, "first"), ...schedule])).code, 0);
    const first = runPaths(join(folder.folder, "first"));
    const init = join(first.checkpoints, "latest");
    const { code, stderr } = await runCli([
      ...tinyRun(folder, "second"),
      ...schedule,
      "--init",
      init,
    ]);
    assert.equal(code, 0, stderr);
    const losses = [first, runPaths(join(folder.folder, "second"))]
      .map(({ metrics }) => readMetrics(metrics).map(({ loss }) => loss!));
    // A random model knows nothing of 512 tokens; the other has seen five batches.
    assert.ok(losses[1]![0]! < losses[0]![0]! - 0.3, `${losses[0]![0]} ${losses[1]![0]}`);
  });
});

/** Runs with a mistake and gives what it said. */
Deno.test("train on another number of threads gives the same checkpoints", async () => {
  await inTrainingFolder(async (folder) => {
    const hashes: unknown[] = [];
    for (const threads of ["1", "2", "4"]) {
      const args = [...tinyRun(folder, `run-${threads}`), "--steps", "4", "--threads", threads];
      const { code, stderr } = await runCli([...args, "--backend", "wasm"]);
      assert.equal(code, 0, stderr);
      const paths = runPaths(join(folder.folder, `run-${threads}`));
      hashes.push([await checkpointHashes(paths), timeless(readMetrics(paths.metrics))]);
    }
    assert.deepEqual(hashes[1], hashes[0]);
    assert.deepEqual(hashes[2], hashes[0]);
  });
});
