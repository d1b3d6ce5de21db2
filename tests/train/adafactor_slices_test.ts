import assert from "node:assert/strict";
import type { ModelConfig } from "../../lib/model/config.ts";
import { presetOf } from "../../lib/model/presets.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { onBackends } from "../on_backends.ts";
import { ADAFACTOR, BATCHES } from "./optimizer_runs.ts";
import { onReplicas, type ReplicaInput, type ReplicaResult } from "./replica_program.ts";
import { assertSameRun } from "./tolerances.ts";

/** Tensors of several parts, and heads, columns and words that two ranks can share. */
const MODEL: ModelConfig = {
  ...presetOf("debug").config,
  ...{ hiddenSize: 192, intermediateSize: 512, numHiddenLayers: 2, vocabSize: 600 },
  ...{ numAttentionHeads: 8, numKeyValueHeads: 2, headDim: 24 },
};

const SETTINGS: TrainSettings = { ...ADAFACTOR, steps: 3, microBatch: 2 };

async function train(
  backend: ReplicaInput["backend"],
  ranks: number,
  meshes: readonly string[],
): Promise<ReplicaResult[][]> {
  return await onReplicas(
    ranks,
    meshes.map((mesh) => ({ backend, mesh, model: MODEL, batches: BATCHES, settings: SETTINGS })),
  );
}

onBackends(
  "Adafactor's scales are of whole tensors, whoever has slices and parts of them",
  async (on) => {
    const [[one]] = await train(on.name, 1, ["data=1"]) as [[ReplicaResult]];
    const found = [
      ...await train(on.name, 2, ["tensor=2"]),
      ...await train(on.name, 4, ["shard=2,tensor=2", "tensor=4"]),
    ];
    for (const [first, ...others] of found) {
      assertSameRun(first!.steps, one.steps);
      for (const other of others) assert.deepEqual(other.steps, first!.steps);
    }
  },
);
