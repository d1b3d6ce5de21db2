import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { verifyCheckpoint } from "../../lib/train/checkpoint_read.ts";
import { checkpointSteps, runPaths } from "../../lib/train/run_folder.ts";
import { type MeshRun, numbersOf, trainUnder } from "./mesh_runs.ts";
import { checkpointHashes, inRunFolder } from "./run_fixture.ts";
import type { SessionResult } from "./session_program.ts";
import { ADAMW_TOLERANCE, assertWeights } from "./tolerances.ts";

/** All numbers of a checkpoint: weights and moments. */
const allNumbers = (checkpoint: string) => numbersOf(checkpoint, join(checkpoint, "training"));

const checkpointAt = (run: string, step: number) =>
  join(runPaths(run).checkpoints, `step-${`${step}`.padStart(6, "0")}`);

/** Eight steps of two layers, saved after every fourth. */
const SETTINGS: RequestedSettings = { steps: 8, model: { numHiddenLayers: 2 } };

/** Trains under meshes, or goes on. */
function trainEach(runs: readonly MeshRun[]): Promise<SessionResult[][]> {
  return trainUnder(runs.map((run) => ({ ...run, settings: { ...SETTINGS, ...run.settings } })));
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
    const runs = CHANGES.map(([from, , to]) => join(folder, `${from} ${to}`));
    const stops = { rank: 0, step: 4, how: "interruption" } as const;
    await trainEach([
      { mesh: "data=1", run: whole, data },
      ...CHANGES.map(([mesh, zero], i) => ({
        mesh,
        run: runs[i]!,
        data,
        settings: { zero },
        stops,
      })),
    ]);
    const half = await allNumbers(checkpointAt(whole, 4));
    for (const [i, [from, , , files]] of CHANGES.entries()) {
      const saved = checkpointAt(runs[i]!, 4);
      await verifyCheckpoint(saved);
      assert.equal((await openCheckpoint(saved)).files.length, files, from);
      assertWeights(await allNumbers(saved), half, ADAMW_TOLERANCE);
    }
    await trainEach(CHANGES.map(([, , mesh], i) => ({ mesh, run: runs[i]!, data })));
    const wanted = await allNumbers(checkpointAt(whole, 8));
    for (const run of runs) {
      assertWeights(await allNumbers(checkpointAt(run, 8)), wanted, ADAMW_TOLERANCE);
      const left = readdirSync(runPaths(run).checkpoints).filter((name) => name.startsWith("."));
      assert.deepEqual(left, []);
    }
  });
});

Deno.test("where a rank has failed, fewer or more go on from the last checkpoint", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const [whole, broken] = [join(folder, "whole"), join(folder, "broken")];
    await trainEach([{ mesh: "data=1", run: whole, data }]);
    const stops = { rank: 1, step: 6, how: "failure" } as const;
    const failing = trainEach([{ mesh: "data=2,shard=2", run: broken, data, stops }]);
    await assert.rejects(failing, /rank 1 failed: struck/);
    assert.deepEqual(checkpointSteps(runPaths(broken)), [4]);
    await trainEach([{ mesh: "shard=2", run: broken, data }]);
    const numbers = await allNumbers(checkpointAt(broken, 8));
    assertWeights(numbers, await allNumbers(checkpointAt(whole, 8)), ADAMW_TOLERANCE);
  });
});

Deno.test("with --reduce tree, another number of replicas or shards changes no bit", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const settings = { reduce: "tree", microBatch: 1 } as const;
    const changes = [["data=2", "shard=4"], ["data=2,shard=2", "data=1"]] as const;
    const runs = changes.map(([from]) => join(folder, from));
    const whole = join(folder, "whole");
    const stops = { rank: 0, step: 5, how: "interruption" } as const;
    await trainEach([
      { mesh: "data=1", run: whole, data, settings },
      ...changes.map(([mesh], i) => ({ mesh, run: runs[i]!, data, settings, stops })),
    ]);
    await trainEach(changes.map(([, mesh], i) => ({ mesh, run: runs[i]!, data, settings })));
    const wanted = await allNumbers(checkpointAt(whole, 8));
    for (const run of runs) assert.deepEqual(await allNumbers(checkpointAt(run, 8)), wanted, run);
  });
});

Deno.test("the same run on the same mesh writes the same bytes, whichever rank writes them", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const runs = ["one", "two"].map((name) => join(folder, name));
    await trainEach(runs.map((run) => ({ mesh: "data=2,shard=2", run, data })));
    const [one, two] = await Promise.all(runs.map((run) => checkpointHashes(runPaths(run))));
    assert.deepEqual(two, one);
    assert.ok(Object.keys(one!).some((name) => name.endsWith("model-00002-of-00002.safetensors")));
    assert.ok(Object.keys(one!).some((name) => name.endsWith("optimizer.safetensors.index.json")));
  });
});
