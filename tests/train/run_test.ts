import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Interrupted, LlameroError } from "../../lib/base/errors.ts";
import { verifyCheckpoint } from "../../lib/train/checkpoint_read.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import {
  checkpointName,
  checkpointSteps,
  latestStep,
  runPaths,
} from "../../lib/train/run_folder.ts";
import { onBackends } from "../on_backends.ts";
import { checkpointHashes, inRunFolder, smallRun, timeless, train } from "./run_fixture.ts";

onBackends("a run learns, and its checkpoints stand under their names", async ({ name }) => {
  await inRunFolder(async ({ folder, data }) => {
    const config = smallRun(data, { steps: 60, saveEvery: 20, keep: 2, lr: 1e-2 });
    const { rows, paths } = await train(join(folder, "run"), config, { backend: name });
    assert.deepEqual(rows.map(({ step }) => step), Array.from({ length: 60 }, (_, i) => i + 1));
    assert.equal(rows.at(-1)!.tokens, 60 * 64);
    // 64 tokens by chance are ln 64 = 4.16 nats.
    assert.ok(Math.abs(rows[0]!.loss! - Math.log(64)) < 0.5);
    assert.ok(rows.at(-1)!.loss! < 2.5, `${rows.at(-1)!.loss}`);
    assert.deepEqual(readdirSync(paths.checkpoints).sort(), [
      "latest",
      "step-000040",
      "step-000060",
    ]);
    assert.equal(await Deno.readLink(join(paths.checkpoints, "latest")), "step-000060");
    const files = readdirSync(join(paths.checkpoints, "latest"), { recursive: true }).sort();
    assert.deepEqual(files.map(String), [
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "training",
      "training/checksums.json",
      "training/optimizer.safetensors",
      "training/state.json",
    ]);
    assert.deepEqual(timeless(readMetrics(paths.metrics)), timeless(rows));
  });
});

onBackends("twice the same run, and on more threads, gives the same bytes", async ({ name }) => {
  await inRunFolder(async ({ folder, data }) => {
    const config = smallRun(data);
    const hashes: Record<string, string>[] = [];
    for (const threads of [1, 1, 2, 4]) {
      const run = join(folder, `run-${hashes.length}`);
      const { paths } = await train(run, config, { backend: name, threads });
      hashes.push(await checkpointHashes(paths));
    }
    for (const other of hashes.slice(1)) assert.deepEqual(other, hashes[0]);
  });
});

onBackends("a run that is interrupted saves, and goes on to the same bytes", async ({ name }) => {
  await inRunFolder(async ({ folder, data }) => {
    for (const dropout of [0, 0.1]) {
      const config = smallRun(data, { dropout, optimizer: dropout > 0 ? "adafactor" : "adamw" });
      const whole = await train(join(folder, `whole-${dropout}`), config, { backend: name });
      const run = join(folder, `stopped-${dropout}`);
      for (const stop of [3, 4, 9]) {
        const controller = new AbortController();
        const onStep = ({ step }: { step: number }) => step === stop && controller.abort();
        const { signal } = controller;
        await assert.rejects(train(run, config, { backend: name, signal, onStep }), Interrupted);
        assert.equal(readMetrics(join(run, "metrics.jsonl")).at(-1)!.step, stop);
      }
      const { paths } = await train(run, config, { backend: name });
      assert.deepEqual(await checkpointHashes(paths), await checkpointHashes(whole.paths));
      assert.deepEqual(
        timeless(readMetrics(paths.metrics)),
        timeless(readMetrics(whole.paths.metrics)),
      );
    }
  });
});

Deno.test("a damaged checkpoint is passed over for the one before, and the log says so", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const config = smallRun(data);
    const whole = await train(join(folder, "whole"), config);
    const expected = await checkpointHashes(whole.paths);
    const { paths } = await train(join(folder, "run"), config);
    const weights = join(paths.checkpoints, "latest", "model.safetensors");
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    const again = await train(join(folder, "run"), config);
    const [damaged, start] = again.events.filter(({ event }) => event !== "save");
    assert.ok(
      damaged?.event === "damaged" && /"model.safetensors" is damaged/.test(damaged.message),
    );
    assert.ok(start?.event === "start" && start.step === 8);
    assert.deepEqual(await checkpointHashes(paths), expected);
  });
});

Deno.test("what a killed trainer left under temporary names is removed", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const config = smallRun(data, { steps: 4 });
    const { paths } = await train(join(folder, "run"), config);
    const leftover = join(paths.checkpoints, ".step-000008.abc123.tmp");
    await Deno.mkdir(join(leftover, "training"), { recursive: true });
    await train(join(folder, "run"), { ...config, settings: { ...config.settings, steps: 6 } });
    assert.ok(!existsSync(leftover));
  });
});

Deno.test("a checkpoint of another config is refused, with what differs", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const run = join(folder, "run");
    await train(run, smallRun(data));
    await assert.rejects(train(run, smallRun(data, { lr: 1e-4 })), /its "lr" is 0.003, 0.0001/);
    const wider = smallRun(data, { model: { intermediateSize: 64 } });
    await assert.rejects(train(run, wider), /"model.intermediate-size" is 48, 64 was wanted/);
  });
});

Deno.test("a run whose folder vanishes ends with an error, and makes no folder again", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const run = join(folder, "run");
    const config = smallRun(data, { steps: 60 });
    const onStep = ({ step }: { step: number }) => {
      if (step === 6) Deno.removeSync(run, { recursive: true });
    };
    await assert.rejects(train(run, config, { onStep }), LlameroError);
    assert.ok(!existsSync(run));
  });
});

Deno.test("a save that fails ends the run, and the checkpoint before stays the latest", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const run = join(folder, "run");
    const config = smallRun(data, { steps: 60 });
    const checkpoints = join(run, "checkpoints");
    const onStep = ({ step }: { step: number }) => {
      // A file where the folder was: nothing can be written into it, whoever runs the test.
      if (step !== 10) return;
      Deno.renameSync(checkpoints, join(run, "moved"));
      Deno.writeTextFileSync(checkpoints, "");
    };
    await assert.rejects(train(run, config, { onStep }), LlameroError);
    Deno.removeSync(checkpoints);
    Deno.renameSync(join(run, "moved"), checkpoints);
    const steps = checkpointSteps(runPaths(run));
    assert.ok(steps.includes(latestStep(runPaths(run))!) && steps.at(-1)! <= 8, `${steps}`);
    for (const step of steps) await verifyCheckpoint(join(checkpoints, checkpointName(step)));
    const whole = await train(join(folder, "whole"), config);
    const { paths } = await train(run, config);
    assert.deepEqual(await checkpointHashes(paths), await checkpointHashes(whole.paths));
  });
});
