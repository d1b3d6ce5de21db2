import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { counting, writeDataset } from "../data/dataset_fixture.ts";
import { type Outcome, runCli } from "./run_cli.ts";
import { inTrainingFolder, tinyRun, type TrainingFolder } from "./train_fixture.ts";

async function refusal(folder: TrainingFolder, ...flags: string[]): Promise<Outcome> {
  const run = `bad-${crypto.randomUUID()}`;
  const outcome = await runCli([...tinyRun(folder, run), "--steps", "2", ...flags]);
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
      const args = tinyRun(folder, `bad-${crypto.randomUUID()}`).slice(0, -2);
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
      const args = tinyRun(folder, `run-${crypto.randomUUID()}`).slice(0, -2);
      return runCli([...args, "--steps", "2", ...data.flatMap((prefix) => ["--data", prefix])]);
    };
    const mixed = await attempt(ours, theirs);
    assert.equal(mixed.code, 2);
    assert.match(mixed.stderr, /packed with the tokenizer "a.model", the other with "b.model"/);
    assert.match((await attempt(theirs)).stderr, /it was packed with "b.model", which is another/);
    assert.equal((await attempt(ours, unknown)).code, 0);
    // The model of --init has another vocabulary than the tokenizer.
    const args = tinyRun(folder, "fits");
    assert.equal((await runCli([...args, "--steps", "2"])).code, 0);
    const bigger = join(folder.folder, "bigger.model");
    const rank = `${btoa("th")} 256\n`;
    await Deno.writeTextFile(bigger, await Deno.readTextFile(folder.tokenizer) + rank);
    const init = join(folder.folder, "fits/checkpoints/latest");
    const inputs = folder.inputs.map((word) => word === folder.tokenizer ? bigger : word);
    const other = tinyRun({ ...folder, inputs }, "other");
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
