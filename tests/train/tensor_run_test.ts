import assert from "node:assert/strict";
import { join } from "node:path";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { onBackends } from "../on_backends.ts";
import { type MeshRun, train } from "./mesh_runs.ts";
import { inRunFolder } from "./run_fixture.ts";
import {
  ADAFACTOR_TOLERANCE,
  ADAMW_TOLERANCE,
  assertSameRun,
  assertWeights,
} from "./tolerances.ts";

const MODELS = [
  {
    name: "llama, AdamW",
    tolerance: ADAMW_TOLERANCE,
    settings: { model: { tieWordEmbeddings: false, numHiddenLayers: 2 } },
  },
  // One key and value head for all ranks, parallel blocks, a tied head, z-loss; its Adafactor goes over
  // whole tensors.
  {
    name: "palm-debug",
    tolerance: ADAFACTOR_TOLERANCE,
    settings: { preset: "palm-debug", model: { numHiddenLayers: 2 } },
  },
] as const;

const MESHES = {
  "four tensor ranks": "tensor=4",
  "replicas of tensor ranks": "data=2,tensor=2",
  "shards of tensor ranks": "shard=2,tensor=2",
  "stages of tensor ranks": "tensor=2,pipeline=2",
  "all axes": "shard=2,tensor=2,pipeline=2",
};

for (const { name, tolerance, settings } of MODELS) {
  onBackends(
    `runs of tensor ranks are one process's, alone and combined: ${name}`,
    async (on) => {
      await inRunFolder(async ({ folder, data }) => {
        const common: RequestedSettings = {
          ...{ steps: 8, batchTokens: 128, microBatch: 1, dropout: 0.1, evalData: [data] },
          ...settings,
        };
        const runs = { one: "data=1", again: "tensor=2", "once more": "tensor=2", ...MESHES };
        const results = await train(
          Object.entries(runs).map(([name, mesh]): MeshRun => (
            { mesh, backend: on.name, run: join(folder, name), data, settings: common }
          )),
        );
        const found = Object.keys(runs).map((name, i) => [name, results[i]!] as const);
        const { one, again, "once more": more } = Object.fromEntries(found);
        for (const [, { rows, weights }] of found) {
          assertSameRun(rows, one!.rows);
          assertWeights(weights, one!.weights, tolerance);
        }
        // What a tensor rank holds is the same from run to run.
        assert.deepEqual([more!.rows, more!.weights], [again!.rows, again!.weights]);
      });
    },
    { quickest: true },
  );
}
