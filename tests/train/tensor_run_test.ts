import assert from "node:assert/strict";
import { join } from "node:path";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { onBackends } from "../on_backends.ts";
import { train } from "./mesh_runs.ts";
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

const MESHES = [
  "tensor=4",
  "data=2,tensor=2",
  "shard=2,tensor=2",
  "tensor=2,pipeline=2",
  "shard=2,tensor=2,pipeline=2",
];

for (const { name, tolerance, settings } of MODELS) {
  onBackends(
    `runs of tensor ranks are one process's, alone and combined: ${name}`,
    async (on) => {
      await inRunFolder(async ({ folder, data }) => {
        const common: RequestedSettings = {
          ...{ batchTokens: 128, microBatch: 1, dropout: 0.1, evalData: [data], ...settings },
        };
        const trainIn = (name: string, mesh: string) =>
          train(mesh, { backend: on.name, run: join(folder, name), data, settings: common });
        const wanted = await trainIn("one", "data=1");
        for (const mesh of MESHES) {
          const { rows, weights } = await trainIn(mesh, mesh);
          assertSameRun(rows, wanted.rows, tolerance);
          assertWeights(weights, wanted.weights, tolerance);
        }
        // What a tensor rank holds is the same from run to run.
        const first = await trainIn("again", "tensor=2");
        const second = await trainIn("once more", "tensor=2");
        assert.deepEqual([second.rows, second.weights], [first.rows, first.weights]);
      });
    },
  );
}
