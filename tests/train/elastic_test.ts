import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { verifyCheckpoint } from "../../lib/train/checkpoint_read.ts";
import { checkpointSteps, runPaths } from "../../lib/train/run_folder.ts";
import { type MeshRun, numbersOf, trainUnder as trainMesh } from "./mesh_runs.ts";
import { checkpointHashes, inRunFolder } from "./run_fixture.ts";
import type { SessionResult } from "./session_program.ts";
import { ADAMW_TOLERANCE, assertWeights } from "./tolerances.ts";

/** All numbers of a checkpoint: weights and moments. */
const allNumbers = (checkpoint: string) => numbersOf(checkpoint, join(checkpoint, "training"));

/** Trains two layers, or goes on, under a mesh. */
function trainUnder(mesh: string, { settings, ...run }: MeshRun): Promise<SessionResult[]> {
  const model = { numHiddenLayers: 2 };
  return trainMesh(mesh, { ...run, settings: { ...settings, model } });
}

const checkpointAt = (run: string, step: number) =>
  join(runPaths(run).checkpoints, `step-${`${step}`.padStart(6, "0")}`);

/** Trains under a mesh until its second rank (or only one) fails after step 6, with step 4 saved. */
async function trainHalf(
  mesh: string,
  options: { run: string; data: string; settings?: RequestedSettings },
): Promise<void> {
  const rank = Math.min(1, meshSize(parseMesh(mesh)) - 1);
  const failing = trainUnder(mesh, { ...options, fails: { rank, step: 6 } });
  await assert.rejects(failing, new RegExp(`rank ${rank} failed: struck`));
  assert.deepEqual(checkpointSteps(runPaths(options.run)), [4]);
}

/** A mesh that writes a checkpoint, its stage of ZeRO, the mesh that goes on, and the files it has. */
const CHANGES: readonly [from: string, zero: 1 | 2 | 3, to: string, files: number][] = [
  ["data=1", 1, "data=2", 1],
  ["data=2", 1, "tensor=2", 1],
  ["data=2,shard=2", 2, "shard=4", 2],
  ["shard=2", 3, "pipeline=2", 2],
  ["tensor=2", 1, "shard=2", 2],
  ["shard=2,tensor=2", 3, "data=1", 4],
  ["shard=2,pipeline=2", 1, "data=2,pipeline=2", 4],
  ["tensor=2,pipeline=2", 1, "data=2,tensor=2", 4],
];

Deno.test("saved under one mesh, a run goes on under another", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const whole = join(folder, "whole");
    await trainUnder("data=1", { run: whole, data });
    const wanted = await allNumbers(checkpointAt(whole, 12));
    for (const [from, zero, to, files] of CHANGES) {
      const run = join(folder, `${from} ${to}`);
      await trainHalf(from, { run, data, settings: { zero } });
      const saved = checkpointAt(run, 4);
      await verifyCheckpoint(saved);
      const { files: weights } = await openCheckpoint(saved);
      assert.equal(weights.length, files);
      const beside = await allNumbers(checkpointAt(whole, 4));
      assertWeights(await allNumbers(saved), beside, ADAMW_TOLERANCE);
      await trainUnder(to, { run, data });
      assertWeights(await allNumbers(checkpointAt(run, 12)), wanted, ADAMW_TOLERANCE);
      const left = readdirSync(runPaths(run).checkpoints).filter((name) => name.startsWith("."));
      assert.deepEqual(left, []);
    }
  });
});

Deno.test("with --reduce tree, another number of replicas or shards changes no bit", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const settings = { reduce: "tree", microBatch: 1 } as const;
    const whole = join(folder, "whole");
    await trainUnder("data=1", { run: whole, data, settings });
    const wanted = await allNumbers(checkpointAt(whole, 12));
    for (const [from, to] of [["data=2", "shard=4"], ["data=2,shard=2", "data=1"]] as const) {
      const run = join(folder, from);
      await trainHalf(from, { run, data, settings });
      await trainUnder(to, { run, data, settings });
      assert.deepEqual(await allNumbers(checkpointAt(run, 12)), wanted, `${from} to ${to}`);
    }
  });
});

Deno.test("the same run on the same mesh writes the same bytes, whichever rank writes them", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const runs = ["one", "two"].map((name) => join(folder, name));
    for (const run of runs) await trainUnder("data=2,shard=2", { run, data });
    const [one, two] = await Promise.all(runs.map((run) => checkpointHashes(runPaths(run))));
    assert.deepEqual(two, one);
    assert.ok(Object.keys(one!).some((name) => name.endsWith("model-00002-of-00002.safetensors")));
    assert.ok(Object.keys(one!).some((name) => name.endsWith("optimizer.safetensors.index.json")));
  });
});
