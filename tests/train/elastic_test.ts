import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { verifyCheckpoint } from "../../lib/train/checkpoint_read.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { checkpointSteps, runPaths } from "../../lib/train/run_folder.ts";
import { checkpointHashes, inRunFolder, smallRun } from "./run_fixture.ts";
import type { SessionInput, SessionResult } from "./session_program.ts";

const MODULE = new URL("./session_program.ts", import.meta.url);

/** The last step, which is saved as each fourth is. */
const LAST = 8;

/** Trains, or goes on, under a mesh. */
function trainUnder(
  mesh: string,
  { run, data, settings = {}, fails }: {
    readonly run: string;
    readonly data: string;
    readonly settings?: RequestedSettings;
    readonly fails?: SessionInput["fails"];
  },
): Promise<SessionResult[]> {
  const config = smallRun(data, { steps: LAST, ...settings, mesh, model: { numHiddenLayers: 2 } });
  const input: SessionInput = { config, run, backend: "auto", ...(fails && { fails }) };
  return runLocal(MODULE, { ranks: meshSize(parseMesh(mesh)), input, timeLimitMs: 60_000 });
}

/** All numbers of a checkpoint by name: weights and moments. */
async function numbersOf(folder: string): Promise<Map<string, Float32Array>> {
  const numbers = new Map<string, Float32Array>();
  for (const inner of ["", "training"]) {
    for (const file of readdirSync(join(folder, inner)).filter((n) => n.endsWith(".safetensors"))) {
      const { records } = await readSafetensors(join(folder, inner, file));
      for (const [name, record] of records) {
        assert.ok(!numbers.has(name), `${name} is there twice`);
        const chunks = [...tensorValues(record)!].flatMap((chunk) => [...chunk]);
        numbers.set(name, Float32Array.from(chunks));
      }
    }
  }
  return numbers;
}

/** Holds numbers against others by the tolerances of tests/golden/README.md for AdamW's weights. */
function assertClose(
  is: Map<string, Float32Array>,
  wanted: Map<string, Float32Array>,
  message: string,
): void {
  assert.deepEqual([...is.keys()].sort(), [...wanted.keys()].sort());
  let [square, all] = [0, 0];
  for (const [name, values] of wanted) {
    const own = is.get(name)!;
    assert.equal(own.length, values.length, name);
    values.forEach((value, i) => {
      const distance = Math.abs(own[i]! - value);
      assert.ok(distance <= 3e-4, `${message}: ${name} ${i} is ${own[i]}, ${value} was wanted`);
      square += distance ** 2;
      all += value ** 2;
    });
  }
  const relative = Math.sqrt(square / all);
  assert.ok(relative <= 2e-5, `${message}: differs by ${relative} in L2`);
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
    const wanted = await numbersOf(checkpointAt(whole, LAST));
    for (const [from, zero, to, files] of CHANGES) {
      const run = join(folder, `${from} ${to}`);
      await trainHalf(from, { run, data, settings: { zero } });
      const saved = checkpointAt(run, 4);
      await verifyCheckpoint(saved);
      const { files: weights } = await openCheckpoint(saved);
      assert.equal(weights.length, files);
      assertClose(await numbersOf(saved), await numbersOf(checkpointAt(whole, 4)), from);
      await trainUnder(to, { run, data });
      assertClose(await numbersOf(checkpointAt(run, LAST)), wanted, `${from} to ${to}`);
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
    const wanted = await numbersOf(checkpointAt(whole, LAST));
    for (const [from, to] of [["data=2", "shard=4"], ["data=2,shard=2", "data=1"]] as const) {
      const run = join(folder, from);
      await trainHalf(from, { run, data, settings });
      await trainUnder(to, { run, data, settings });
      assert.deepEqual(await numbersOf(checkpointAt(run, LAST)), wanted, `${from} to ${to}`);
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
