import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { runLocal } from "../../lib/comm/local/run.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { golden } from "../fixtures.ts";
import { onBackends } from "../on_backends.ts";
import type { ReplicaBatch, ReplicaInput, ReplicaResult } from "./replica_program.ts";

/** The settings of tests/golden's run of AdamW. */
const SETTINGS = {
  ...{ optimizer: "adamw", lr: 0.003, minLr: 0.0003, warmup: 4, hold: 0, schedule: "cosine" },
  ...{ decay: 0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1, updateClip: 1 },
  ...{ zLoss: 0, dropout: 0, steps: 20, seed: 0, microBatch: 2, skipBatches: [] },
  skipSpikes: false,
} as unknown as TrainSettings;

function json<T>(name: string): T {
  return JSON.parse(readFileSync(golden(`optim/${name}`), "utf8")) as T;
}

function train(
  ranks: number,
  backend: ReplicaInput["backend"],
  change: Partial<TrainSettings> = {},
): Promise<ReplicaResult[]> {
  const batches = json<ReplicaBatch[]>("adamw_batches.json");
  const input = { backend, batches, settings: { ...SETTINGS, ...change } };
  const module = new URL("./replica_program.ts", import.meta.url);
  return runLocal(module, { ranks, input, timeLimitMs: 120_000 });
}

onBackends("replicas follow PyTorch's 20 steps of AdamW on the whole batch", async (on) => {
  type Step = { readonly loss: number; readonly grad_norm: number };
  const { steps_f64: expected } = json<{ steps_f64: Step[] }>("adamw.json");
  for (const ranks of [1, 2, 4]) {
    const results = await train(ranks, on.name);
    const [first] = results;
    // Tolerances of tests/golden/README.md.
    expected.forEach(({ loss, grad_norm }, i) => {
      const mine = first!.steps[i]!;
      assert.ok(Math.abs(mine.loss - loss) <= 1e-4, `step ${i + 1}: ${mine.loss}, ${loss}`);
      assert.ok(Math.abs(mine.gradNorm - grad_norm) <= 5e-3, `${mine.gradNorm}, ${grad_norm}`);
    });
    assert.equal(first!.steps.length, 20);
    for (const result of results) assert.deepEqual(result, first, "replicas differ");
  }
});

onBackends("what replicas drop is what one process drops", async (on) => {
  const change = { dropout: 0.2, steps: 1 };
  const [[one], [two]] = [await train(1, on.name, change), await train(2, on.name, change)];
  const [wanted, loss] = [one!.steps[0]!.loss, two!.steps[0]!.loss];
  assert.ok(Math.abs(loss - wanted) <= 1e-6 * wanted, `${loss}, ${wanted}`);
  assert.equal(two!.tokens, one!.tokens);
});
