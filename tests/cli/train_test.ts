import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { counting, writeDataset } from "../data/dataset_fixture.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { type Outcome, runCli } from "./run_cli.ts";
import { inTrainingFolder, TINY_CONFIG, type TrainingFolder } from "./train_fixture.ts";

function tiny({ folder, tokenizer, text }: TrainingFolder, run: string): string[] {
  const config = join(folder, "tiny.toml");
  writeFileSync(config, TINY_CONFIG);
  const out = join(folder, run);
  return ["train", "--out", out, "--config", config, "--tokenizer", tokenizer, "--text", text];
}

Deno.test("train makes a run: config, metrics, event file, report, checkpoints", async () => {
  await inTrainingFolder(async (folder) => {
    const args = [...tiny(folder, "run"), "--steps", "20", "--save-every", "10", "--lr", "1e-2"];
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

Deno.test("train --resume needs nothing else, and only the course may change", async () => {
  await inTrainingFolder(async (folder) => {
    const out = join(folder.folder, "run");
    assert.equal(
      (await runCli([...tiny(folder, "run"), "--steps", "6", "--save-every", "3"])).code,
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
    const begin = [...tiny(folder, "run"), "--eval-data", folder.text, "--save-every", "3"];
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
    const begin = [...tiny(folder, "run"), "--steps", "4", "--save-every", "2"];
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
    const { code, stderr } = await runCli([...tiny(folder, "run"), ...long]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /no sample of step 2: .*it has 50\d tokens, and the context holds 256/);
  });
});

Deno.test("weights that overflow end a run by its loss, which says what to do", async () => {
  await inTrainingFolder(async (folder) => {
    const args = [...tiny(folder, "run"), "--lr", "1e10", "--warmup", "0", "--steps", "40"];
    const { code, stderr } = await runCli(args);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /no sample of step \d+: Cannot choose a token/);
    assert.match(stderr, /\nllamero: Cannot go on: .* no finite gradients.*\nhint: lower --lr/);
  });
});

Deno.test("a run is not begun twice in one folder, unless forced", async () => {
  await inTrainingFolder(async (folder) => {
    const args = [...tiny(folder, "run"), "--steps", "2"];
    assert.equal((await runCli(args)).code, 0);
    const again = await runCli(args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /a run is there already\nhint: go on with it with --resume/);
    assert.equal((await runCli([...args, "--force", "--seed", "1"])).code, 0);
    const foreign = join(folder.folder, "foreign");
    await Deno.mkdir(foreign);
    await Deno.writeTextFile(join(foreign, "thesis.txt"), "years of work");
    const refused = await runCli([...tiny(folder, "foreign"), "--steps", "2", "--force"]);
    assert.match(refused.stderr, /it has "thesis.txt", which is of no run/);
    assert.ok(existsSync(join(foreign, "thesis.txt")));
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

Deno.test("train with a first model goes on from its weights", async () => {
  await inTrainingFolder(async (folder) => {
    const schedule = ["--steps", "5", "--schedule", "constant", "--warmup", "0", "--lr", "1e-2"];
    assert.equal((await runCli([...tiny(folder, "first"), ...schedule])).code, 0);
    const first = runPaths(join(folder.folder, "first"));
    const init = join(first.checkpoints, "latest");
    const { code, stderr } = await runCli([...tiny(folder, "second"), ...schedule, "--init", init]);
    assert.equal(code, 0, stderr);
    const losses = [first, runPaths(join(folder.folder, "second"))]
      .map(({ metrics }) => readMetrics(metrics).map(({ loss }) => loss!));
    // A random model knows nothing of 512 tokens; the other has seen five batches.
    assert.ok(losses[1]![0]! < losses[0]![0]! - 0.3, `${losses[0]![0]} ${losses[1]![0]}`);
  });
});

/** Runs with a mistake and gives what it said. */
async function refusal(folder: TrainingFolder, ...flags: string[]): Promise<Outcome> {
  const run = `bad-${crypto.randomUUID()}`;
  const outcome = await runCli([...tiny(folder, run), "--steps", "2", ...flags]);
  assert.notEqual(outcome.code, 0);
  // A run that was refused leaves nothing behind.
  assert.ok(!existsSync(join(folder.folder, run)));
  return outcome;
}

Deno.test("settings that are unknown, mistyped or contradictory are refused by name", async () => {
  await inTrainingFolder(async (folder) => {
    const file = join(folder.folder, "bad.toml");
    const config = async (text: string) => {
      writeFileSync(file, text);
      const args = ["train", "--out", join(folder.folder, "x"), "--config", file];
      const outcome = await runCli([
        ...args,
        "--tokenizer",
        folder.tokenizer,
        "--text",
        folder.text,
      ]);
      assert.equal(outcome.code, 2);
      return outcome.stderr;
    };
    assert.match(
      await config('preset = "debug"\nwarm-up = 3'),
      /no setting "warm-up"\nhint: did you mean warmup\?/,
    );
    assert.match(
      await config('preset = "debug"\nlr = "fast"'),
      /"lr" is "fast", a number above 0 was wanted/,
    );
    assert.match(
      await config('preset = "debug"\nlr = -1'),
      /"lr" is -1, a number above 0 was wanted/,
    );
    assert.match(await config('preset = "debug"\n[model]\nheads = 3'), /no setting "model.heads"/);
    assert.match(
      await config('preset = "debug"\ndata = [{ path = "x", wieght = 3 }]'),
      /no setting "data.0.wieght"\nhint: did you mean data.0.weight\?/,
    );
    assert.match(
      await config('preset = "debug"\n[optimizer]\nlr = 3'),
      /"optimizer" is {"lr":3}, one of adamw, adafactor was wanted/,
    );
    assert.match(await config('preset = "debug'), /line 1, column/);
    assert.match(await config('preset = "debgu"'), /hint: did you mean debug\?/);
    const slip = ["train", "--out", join(folder.folder, "x"), "--preset", "debgu"];
    assert.match((await runCli(slip)).stderr, /none of this name\nhint: did you mean debug\?/);
    assert.match(await config("steps = 3"), /neither a preset nor a config says which model/);
    assert.match((await refusal(folder, "--tokens", "1e6")).stderr, /both --steps and --tokens/);
    assert.match(
      (await refusal(folder, "--batch-tokens", "65")).stderr,
      /a multiple of the sequence's 16/,
    );
    assert.match(
      (await refusal(folder, "--seq-len", "512", "--batch-tokens", "512")).stderr,
      /256 positions/,
    );
    // A decay of 1 would divide by the bias correction 1 - 1^k, which is 0.
    for (const beta of ["--beta1", "--beta2"]) {
      assert.match((await refusal(folder, beta, "1")).stderr, /a number from 0 to below 1/);
    }
    const steps = ["--schedule", "wsd", "--steps", "4", "--decay", "5"];
    assert.match((await refusal(folder, ...steps)).stderr, /5 of decay and 4 in all: fewer/);
  });
});

Deno.test("data that cannot be trained on are refused before anything is saved", async () => {
  await inTrainingFolder(async (folder) => {
    const short = join(folder.folder, "short.txt");
    writeFileSync(short, "too short");
    const withData = async (...flags: string[]) => {
      const args = tiny(folder, `bad-${crypto.randomUUID()}`).slice(0, -2);
      const outcome = await runCli([...args, "--steps", "2", ...flags]);
      assert.equal(outcome.code, 1);
      return outcome.stderr;
    };
    assert.match(await withData("--text", short), /it has \d+ tokens, at least 17 were wanted/);
    const prefix = join(folder.folder, "d");
    writeDataset(prefix, [[...counting(100), 60_000, ...counting(100)]]);
    assert.match(
      await withData("--data", prefix, "--seed", "1"),
      /is 60000, and the model's vocabulary/,
    );
    const index = readFileSync(`${prefix}.idx`);
    index.writeInt32LE(1_000_000, 34);
    writeFileSync(`${prefix}.idx`, index);
    assert.match(await withData("--data", prefix), /sequence 0 has 1000000 tokens at byte 0/);
    writeFileSync(`${prefix}.idx`, index.subarray(0, 20));
    assert.match(await withData("--data", prefix), /Cannot read ".*d\.idx"/);
    assert.match(await withData("--data", join(folder.folder, "none")), /no such file/);
  });
});

Deno.test("two tokenizers in one mixture, and data of another tokenizer, are refused", async () => {
  await inTrainingFolder(async (folder) => {
    const own = new Uint8Array(
      await crypto.subtle.digest("SHA-256", await Deno.readFile(folder.tokenizer)),
    ).toHex();
    const dataset = (name: string, sha256?: string) => {
      const prefix = writeDataset(join(folder.folder, name), [counting(200)]);
      const tokenizer = { sha256, file: `${name}.model` };
      if (sha256) writeFileSync(`${prefix}.json`, JSON.stringify({ tokens: 200, tokenizer }));
      return prefix;
    };
    const [ours, theirs, unknown] = [dataset("a", own), dataset("b", "f00d"), dataset("c")];
    const attempt = (...data: string[]) => {
      const args = tiny(folder, `run-${crypto.randomUUID()}`).slice(0, -2);
      return runCli([...args, "--steps", "2", ...data.flatMap((prefix) => ["--data", prefix])]);
    };
    const mixed = await attempt(ours, theirs);
    assert.equal(mixed.code, 2);
    assert.match(mixed.stderr, /packed with the tokenizer "a.model", the other with "b.model"/);
    assert.match((await attempt(theirs)).stderr, /it was packed with "b.model", which is another/);
    assert.equal((await attempt(ours, unknown)).code, 0);
    // The model of --init has another vocabulary than the tokenizer.
    const args = tiny(folder, "fits");
    assert.equal((await runCli([...args, "--steps", "2"])).code, 0);
    const bigger = join(folder.folder, "bigger.model");
    const rank = `${btoa("th")} 256\n`;
    await Deno.writeTextFile(bigger, await Deno.readTextFile(folder.tokenizer) + rank);
    const init = join(folder.folder, "fits/checkpoints/latest");
    const other = tiny({ ...folder, tokenizer: bigger }, "other");
    const refused = await runCli([...other, "--steps", "2", "--init", init]);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /"vocab-size" is \d+, \d+ was wanted/);
  });
});

Deno.test("a batch that cannot fit in memory is refused with the largest that fits", async () => {
  await inTrainingFolder(async (folder) => {
    const flags = ["--backend", "wasm", "--batch-tokens", "67108864", "--micro-batch", "4194304"];
    const { stderr, code } = await refusal(folder, ...flags);
    assert.equal(code, 1);
    const fits = Number(/hint: --micro-batch (\d+) is the largest that fits/.exec(stderr)?.[1]);
    assert.ok(fits > 1000 && fits < 4_194_304, stderr);
  });
});

Deno.test("bf16 without the hardware is refused with what to do", async () => {
  await inTrainingFolder(async (folder) => {
    const { stderr, code } = await refusal(folder, "--backend", "wasm", "--dtype", "bf16");
    assert.equal(code, 1);
    assert.match(stderr, /bf16.*\nhint: /);
  });
});

Deno.test("train on another number of threads gives the same checkpoints", async () => {
  await inTrainingFolder(async (folder) => {
    const hashes: unknown[] = [];
    for (const threads of ["1", "2", "4"]) {
      const args = [...tiny(folder, `run-${threads}`), "--steps", "4", "--threads", threads];
      const { code, stderr } = await runCli([...args, "--backend", "wasm"]);
      assert.equal(code, 0, stderr);
      const paths = runPaths(join(folder.folder, `run-${threads}`));
      hashes.push([await checkpointHashes(paths), timeless(readMetrics(paths.metrics))]);
    }
    assert.deepEqual(hashes[1], hashes[0]);
    assert.deepEqual(hashes[2], hashes[0]);
  });
});

Deno.test("a run keeps the kernels it began with, asked for by name or as whichever are best", async () => {
  await inTrainingFolder(async (folder) => {
    const out = join(folder.folder, "run");
    assert.equal((await runCli([...tiny(folder, "run"), "--steps", "2"])).code, 0);
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
