import assert from "node:assert/strict";
import { runCli } from "./run_cli.ts";

const TINY = "bench train --preset debug --seq-len 16 --batch-tokens 64 --micro-batch 2 --steps 3";

Deno.test("bench train gives the rate, its spread and its share of the machine's limit", async () => {
  const { code, stdout, stderr } = await runCli([...TINY.split(" "), "--json"]);
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout);
  assert.ok(result.min <= result.tokens_per_second && result.tokens_per_second <= result.max);
  assert.equal(result.batch_tokens, 64);
  assert.equal(result.steps, 3);
  const share = result.tokens_per_second * result.flops_per_token / result.limits.flops_per_second;
  assert.ok(Math.abs(result.mfu / share - 1) < 1e-9);
  // Random tokens cost ln 512 at first; the same ones again and again cost less.
  assert.ok(result.loss > 1 && result.loss < Math.log(512), `${result.loss}`);
  const memory = Object.values(result.memory as Record<string, number>);
  assert.equal(memory.reduce((a, b) => a + b), 2 * result.memory.total);
});

Deno.test("bench train takes sequences longer than those that a preset is for", async () => {
  const long = "bench train --preset debug --seq-len 320 --batch-tokens 320 --steps 1 --json";
  const { code, stdout, stderr } = await runCli(long.split(" "));
  assert.equal(code, 0, stderr);
  assert.equal(JSON.parse(stdout).seq_len, 320);
});

Deno.test("bench train prints a table for people", async () => {
  const { code, stdout, stderr } = await runCli(TINY.split(" "));
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^debug in f32 on \w+ \(.*\)\n/);
  assert.match(stdout, /batches of 64 in sequences of 16 .* GFLOP\/s/);
});

Deno.test("bench train refuses presets that are unknown and batches that do not fit", async () => {
  const unknown = await runCli(["bench", "train", "--preset", "debugg"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /hint: did you mean debug\?/);
  const large = await runCli(["bench", "train", "--preset", "llama2-7b", "--backend", "wasm"]);
  assert.equal(large.code, 1);
  assert.match(large.stderr, /Cannot train with a micro-batch/);
});
