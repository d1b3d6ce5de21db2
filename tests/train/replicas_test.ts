import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { golden } from "../fixtures.ts";
import { onBackends } from "../on_backends.ts";
import { onReplicas } from "./replica_program.ts";
import type { ReplicaBatch, ReplicaInput, ReplicaResult } from "./replica_program.ts";

/** The settings of tests/golden's run of AdamW. */
const SETTINGS = {
  ...{ optimizer: "adamw", lr: 0.003, minLr: 0.0003, warmup: 4, hold: 0, schedule: "cosine" },
  ...{ decay: 0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1, updateClip: 1 },
  ...{
    recompute: "none",
    dtype: "f32",
    zLoss: 0,
    dropout: 0,
    steps: 20,
    seed: 0,
    microBatch: 2,
    skipBatches: [],
  },
  skipSpikes: false,
} as unknown as TrainSettings;

function json<T>(name: string): T {
  return JSON.parse(readFileSync(golden(`optim/${name}`), "utf8")) as T;
}

async function train(
  ranks: number,
  backend: ReplicaInput["backend"],
  change: Partial<TrainSettings> = {},
  batches: readonly ReplicaBatch[] = json<ReplicaBatch[]>("adamw_batches.json"),
): Promise<Omit<ReplicaResult, "taken" | "sent">[]> {
  const input = { backend, batches, settings: { ...SETTINGS, ...change } };
  const [results] = await onReplicas(ranks, [input]);
  return results!.map(({ taken: _, sent: __, ...trained }) => trained);
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
}, { quickest: true });

onBackends("what replicas drop is what one process drops", async (on) => {
  const change = { dropout: 0.2, steps: 1 };
  const [[one], [two]] = [await train(1, on.name, change), await train(2, on.name, change)];
  const [wanted, loss] = [one!.steps[0]!.loss, two!.steps[0]!.loss];
  assert.ok(Math.abs(loss - wanted) <= 1e-6 * wanted, `${loss}, ${wanted}`);
  assert.equal(two!.tokens, one!.tokens);
}, { quickest: true });

onBackends("with one tree over micro-batches the number of replicas changes no bit", async (on) => {
  const batches = json<ReplicaBatch[]>("adamw_batches.json");
  // Twelve sequences: replicas of three or six micro-batches take them in turns.
  const wide = batches.slice(0, 3).map((_, i) => ({
    input_ids: [0, 1, 2].flatMap((j) => batches[(i + j) % batches.length]!.input_ids),
    targets: [0, 1, 2].flatMap((j) => batches[(i + j) % batches.length]!.targets),
  }));
  for (const given of [batches, wide]) {
    const change = { reduce: "tree", microBatch: 1, steps: 3, dropout: 0.1 } as const;
    const [alone] = await train(1, on.name, change, given);
    for (const ranks of [2, 4]) {
      for (const result of await train(ranks, on.name, change, given)) {
        assert.deepEqual(result, alone, `${ranks} replicas`);
      }
    }
    const [byRank] = await train(1, on.name, { ...change, reduce: "ranks" }, given);
    assert.notDeepEqual(byRank, alone, "one after the other is another order");
  }
}, { quickest: true });

Deno.test("one tree wants replicas and micro-batches that share it evenly", async () => {
  const change = { reduce: "tree", microBatch: 1 } as const;
  await assert.rejects(
    train(3, "wasm", change),
    /Cannot add up gradients in one tree: there are 3 replicas, 1, 2, 4, 8, … were wanted/,
  );
  await assert.rejects(
    train(2, "wasm", { ...change, microBatch: 3 }),
    /4 sequences of a step are no multiple of 2 replicas times micro-batches of 3/,
  );
});
