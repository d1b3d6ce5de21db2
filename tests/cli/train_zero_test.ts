import assert from "node:assert/strict";
import { join } from "node:path";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { timeless } from "../train/run_fixture.ts";
import { type Outcome, runCli } from "./run_cli.ts";
import { inTrainingFolder, type TrainingFolder } from "./train_fixture.ts";

function train(
  { folder, text, inputs }: TrainingFolder,
  run: string,
  ...flags: string[]
): Promise<Outcome> {
  const steps = ["--steps", "4", "--save-every", "2", "--eval-data", text];
  return runCli(["train", "--out", join(folder, run), ...inputs, ...steps, ...flags]);
}

/** Every tensor of the last checkpoint, whichever file has it. */
async function lastTensors(run: string): Promise<Map<string, string>> {
  const latest = join(runPaths(run).checkpoints, "latest");
  const found = new Map<string, string>();
  for (const folder of [latest, join(latest, "training")]) {
    for (const { name } of Deno.readDirSync(folder)) {
      if (!name.endsWith(".safetensors")) continue;
      for (const [tensor, record] of (await readSafetensors(join(folder, name))).records) {
        found.set(tensor, (await readTensor(record)).toHex());
      }
    }
  }
  assert.ok(found.size > 20);
  return found;
}

Deno.test("stages of ZeRO write the checkpoints and metrics of data parallelism", async () => {
  await inTrainingFolder(async (folder) => {
    const ways = {
      data: ["--virtual-ranks", "2", "--mesh", "data=2"],
      one: ["--virtual-ranks", "2", "--mesh", "shard=2", "--zero", "1"],
      two: ["--virtual-ranks", "2", "--mesh", "shard=2", "--zero", "2"],
      three: ["--virtual-ranks", "2", "--mesh", "shard=2", "--zero", "3", "--check-replicas", "2"],
    };
    for (const [name, flags] of Object.entries(ways)) {
      const { code, stderr } = await train(folder, name, ...flags);
      assert.equal(code, 0, stderr);
    }
    const [data, ...others] = Object.keys(ways).map((name) => join(folder.folder, name));
    const rows = (run: string) => timeless(readMetrics(runPaths(run).metrics));
    for (const run of others) {
      assert.deepEqual(await lastTensors(run), await lastTensors(data!), run);
      assert.deepEqual(rows(run), rows(data!));
    }
  });
});

Deno.test("in one tree, a run changes its replicas and shards as it goes on, and no bit", async () => {
  await inTrainingFolder(async (folder) => {
    const tree = ["--reduce", "tree", "--micro-batch", "1", "--schedule", "constant"];
    const whole = await train(folder, "whole", ...tree);
    assert.equal(whole.code, 0, whole.stderr);
    const begun = await train(folder, "begun", ...tree, "--virtual-ranks", "2", "--steps", "2");
    assert.equal(begun.code, 0, begun.stderr);
    const run = join(folder.folder, "begun");
    const pods = ["--virtual-ranks", "4", "--mesh", "data=2,shard=2", "--zero", "3"];
    const on = await runCli(["train", "--out", run, "--resume", "--steps", "4", ...pods]);
    assert.equal(on.code, 0, on.stderr);
    const wanted = join(folder.folder, "whole");
    assert.deepEqual(await lastTensors(run), await lastTensors(wanted));
    const losses = (run: string) => readMetrics(runPaths(run).metrics).map(({ loss }) => loss);
    assert.deepEqual(losses(run), losses(wanted));
  });
});

Deno.test("a tree that replicas cannot share is refused before anything is computed", async () => {
  await inTrainingFolder(async (folder) => {
    const asked = ["--reduce", "tree", "--batch-tokens", "96", "--virtual-ranks", "3"];
    const three = await train(folder, "three", ...asked);
    assert.equal(three.code, 2, three.stderr);
    assert.match(three.stderr, /Cannot add up gradients in one tree: there are 3 replicas/);
  });
});
