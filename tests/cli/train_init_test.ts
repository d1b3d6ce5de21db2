import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder, TINY_CONFIG, type TrainingFolder } from "./train_fixture.ts";

/** A model that every format can hold, after some steps. */
async function trained({ folder, tokenizer, text }: TrainingFolder): Promise<string> {
  const config = join(folder, "tiny.toml");
  // llama2.c knows one rope theta and one eps.
  writeFileSync(config, `${TINY_CONFIG}norm-eps = 1e-5\nrope-theta = 10000\n`);
  const out = join(folder, "first");
  const files = ["--config", config, "--tokenizer", tokenizer, "--text", text, "--quiet"];
  const { code, stderr } = await runCli(["train", "--out", out, ...files, "--steps", "20"]);
  assert.equal(code, 0, stderr);
  return join(runPaths(out).checkpoints, "latest");
}

Deno.test("--init begins with the same model, whichever format it is in", async () => {
  await inTrainingFolder(async (folder) => {
    const { text, tokenizer } = folder;
    const model = await trained(folder);
    const losses: number[] = [];
    for (const to of ["hf", "gguf", "meta", "llama2c"]) {
      const ending = { gguf: ".gguf", llama2c: ".bin" }[to] ?? "";
      const converted = join(folder.folder, `converted-${to}${ending}`);
      const conversion = await runCli(["convert", model, converted, "--to", to].concat(
        // Its tokenizer format has no merging bytes.
        to === "llama2c" ? ["--weights-only"] : [],
      ));
      assert.equal(conversion.code, 0, conversion.stderr);
      const out = join(folder.folder, `run-${to}`);
      const set = ["--init", converted, "--tokenizer", tokenizer, "--text", text, "--steps", "2"];
      const lengths = ["--seq-len", "16", "--batch-tokens", "64"];
      const { code, stderr } = await runCli(["train", "--out", out, ...set, ...lengths]);
      assert.equal(code, 0, `${to}: ${stderr}`);
      losses.push(readMetrics(runPaths(out).metrics)[0]!.loss!);
    }
    assert.deepEqual(losses, losses.map(() => losses[0]));
    // Rotary rows in the wrong order would be a model that has forgotten what it learnt.
    const first = readMetrics(runPaths(join(folder.folder, "first")).metrics);
    assert.ok(losses[0]! < first[0]!.loss! - 0.1, `${losses[0]}, ${first[0]!.loss}`);
  });
});
