import assert from "node:assert/strict";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { onBackends } from "../on_backends.ts";
import { ADAMW, BATCHES, type GivenBatch, optimizerJson } from "./optimizer_runs.ts";
import { onReplicas, type ReplicaInput, type ReplicaResult } from "./replica_program.ts";
import { ADAMW_TOLERANCE, assertSameRun, assertSteps, type StepNumbers } from "./tolerances.ts";

/** Two sequences at once, so that two replicas of the four have one micro-batch each. */
const SETTINGS: TrainSettings = { ...ADAMW, microBatch: 2 };

async function train(
  ranks: number,
  backend: ReplicaInput["backend"],
  change: Partial<TrainSettings> = {},
  batches: readonly GivenBatch[] = BATCHES,
): Promise<Omit<ReplicaResult, "taken" | "sent">[]> {
  const input = { backend, batches, settings: { ...SETTINGS, ...change } };
  const [results] = await onReplicas(ranks, [input]);
  return results!.map(({ taken: _, sent: __, ...trained }) => trained);
}

onBackends("replicas follow PyTorch's 20 steps of AdamW on the whole batch", async (on) => {
  const { steps_f64: expected } = optimizerJson<{ steps_f64: StepNumbers[] }>("adamw.json");
  for (const ranks of [1, 2, 4]) {
    const results = await train(ranks, on.name);
    const [first] = results;
    assertSteps(first!.steps, expected, ADAMW_TOLERANCE);
    for (const result of results) assert.deepEqual(result, first, "replicas differ");
  }
}, { quickest: true });

onBackends("what replicas drop is what one process drops", async (on) => {
  const change = { dropout: 0.2, steps: 1 };
  const [[one], [two]] = [await train(1, on.name, change), await train(2, on.name, change)];
  assertSameRun(two!.steps, one!.steps);
  assert.equal(two!.tokens, one!.tokens);
}, { quickest: true });

onBackends("with one tree over micro-batches the number of replicas changes no bit", async (on) => {
  // Twelve sequences: replicas of three or six micro-batches take them in turns.
  const wide = BATCHES.slice(0, 3).map((_, i) => ({
    input_ids: [0, 1, 2].flatMap((j) => BATCHES[(i + j) % BATCHES.length]!.input_ids),
    targets: [0, 1, 2].flatMap((j) => BATCHES[(i + j) % BATCHES.length]!.targets),
  }));
  for (const given of [BATCHES, wide]) {
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
