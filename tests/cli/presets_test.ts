import assert from "node:assert/strict";
import { PRESET_NAMES } from "../../lib/model/presets.ts";
import { runCli } from "./run_cli.ts";

Deno.test("presets lists every preset with its parameters", async () => {
  const { code, stdout } = await runCli(["presets"]);
  assert.equal(code, 0);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, PRESET_NAMES.length + 1);
  assert.match(stdout, /^llama1-65b +65\.3 B +8192 +80 +64 +32000 +2048 /m);
  assert.match(stdout, /^debug .* tokenizer's /m);
});

Deno.test("presets --json is one object with every name", async () => {
  const { stdout } = await runCli(["presets", "--json"]);
  const { presets } = JSON.parse(stdout) as { presets: { name: string; parameters: number }[] };
  assert.deepEqual(presets.map(({ name }) => name), PRESET_NAMES);
  const palm = presets.find(({ name }) => name === "palm-540b");
  assert.equal(palm?.parameters, 540_356_474_880);
});

Deno.test("presets NAME --json resolves config and recipe", async () => {
  const { code, stdout } = await runCli(["presets", "llama2-70b", "--json"]);
  assert.equal(code, 0);
  const { config, recipe, parameters } = JSON.parse(stdout);
  assert.equal(parameters, 68_976_648_192);
  assert.equal(config.num_key_value_heads, 8);
  assert.equal(config.model_type, "llama");
  assert.equal(recipe.lr, 1.5e-4);
  assert.equal(recipe.weight_decay, 0.1);
  assert.deepEqual(recipe.unpublished, []);
});

Deno.test("presets NAME says which numbers nobody published", async () => {
  const { stdout } = await runCli(["presets", "llama3.2-1b"]);
  assert.match(stdout, /1,235,814,400 parameters \(1\.24 B\)/);
  assert.match(stdout, /lr +0\.0003 \(not published\)/);
  assert.match(stdout, /weight_decay +0\.1\n/);
  assert.match(stdout, /rope_scaling +\{"rope_type":"llama3","factor":32,/);
});

Deno.test("a misspelt preset gets a did-you-mean and exit code 2", async () => {
  const { code, stdout, stderr } = await runCli(["presets", "lama2-7b"]);
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /Cannot use preset "lama2-7b".*\nhint: did you mean llama2-7b\?/);
});
