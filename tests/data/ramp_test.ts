import assert from "node:assert/strict";
import { BatchRamp } from "../../lib/data/ramp.ts";
import { presetOf } from "../../lib/model/presets.ts";

Deno.test("PaLM 540B's ramp: 1M, 2M and 4M tokens from steps 0, 50,000 and 115,000 on", () => {
  const ramp = new BatchRamp(presetOf("palm-540b").recipe);
  assert.deepEqual([0, 49_999, 50_000, 114_999, 115_000].map((s) => ramp.at(s).sequences), [
    512,
    512,
    1024,
    1024,
    2048,
  ]);
  const tokens = 2048 * (512 * 50_000 + 1024 * 65_000 + 2048 * 140_000);
  assert.equal(ramp.tokensBefore(255_000), tokens);
  // The paper: 255,000 steps, 780 billion tokens.
  assert.ok(Math.abs(tokens / 780e9 - 1) < 0.01);
  assert.equal(ramp.stepsOf(tokens), 255_000);
  assert.equal(ramp.stepsOf(tokens - 1), 254_999);
});

Deno.test("a ramp may change the length of sequences too", () => {
  const ramp = new BatchRamp({
    seqLen: 4,
    batchTokens: 8,
    batchRamp: [{ fromStep: 3, batchTokens: 16, seqLen: 8 }],
  });
  assert.deepEqual(ramp.at(2), { seqLen: 4, sequences: 2 });
  assert.deepEqual(ramp.at(3), { seqLen: 8, sequences: 2 });
  assert.equal(ramp.tokensBefore(5), 3 * 8 + 2 * 16);
  assert.deepEqual(ramp.largest, { seqLen: 8, sequences: 2 });
});

Deno.test("a batch that is no whole number of sequences is refused with the nearest that is", () => {
  assert.throws(
    () => new BatchRamp({ seqLen: 64, batchTokens: 1000, batchRamp: [] }),
    (error: Error & { hint?: string }) =>
      error.message.includes("a multiple of the sequence's 64") &&
      error.hint === "--batch-tokens 1024",
  );
});
