import assert from "node:assert/strict";
import { join } from "node:path";
import { LlameroError } from "../../lib/base/errors.ts";
import type { GradientOptions, TrainBatch } from "../../lib/model/training/trainable.ts";
import { readEvents } from "../../lib/train/events.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import type { ObservedSession } from "../../lib/train/run.ts";
import { EMPTY_WINDOW, planRecovery, spikeOf, widened } from "../../lib/train/spikes.ts";
import { onBackends } from "../on_backends.ts";
import { checkpointHashes, inRunFolder, smallRun, timeless, train } from "./run_fixture.ts";

/** Losses around 3 with deviation 0.1, by a fixed rule that looks random. */
function noisy(count: number): { loss: number; gradNorm: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const u = Math.abs(Math.sin(12.9898 * (i + 1)) * 43758.5453) % 1;
    const w = Math.abs(Math.sin(78.233 * (i + 1)) * 12543.1237) % 1;
    const normal = Math.sqrt(-2 * Math.log(u || 0.5)) * Math.cos(2 * Math.PI * w);
    return { loss: 3 + 0.1 * normal, gradNorm: 1 + 0.2 * w };
  });
}

Deno.test("ordinary noise is no spike, ten deviations are one, and so is a tenfold norm", () => {
  let window = EMPTY_WINDOW;
  for (const step of noisy(2000)) {
    assert.equal(spikeOf(window, step), undefined);
    window = widened(window, step);
  }
  assert.match(spikeOf(window, { loss: 4, gradNorm: 1 })!, /^loss 4.0000 is \d+\.\d deviations/);
  assert.match(
    spikeOf(window, { loss: 3, gradNorm: 14 })!,
    /^gradient norm 14.00 is 1\d\.\d times/,
  );
  assert.equal(spikeOf(window, { loss: 2, gradNorm: 1 }), undefined);
});

Deno.test("a window that has seen spikes before judges by its median all the same", () => {
  let window = EMPTY_WINDOW;
  for (const [i, step] of noisy(128).entries()) {
    window = widened(window, i % 10 === 0 ? { loss: 50, gradNorm: 80 } : step);
  }
  assert.ok(spikeOf(window, { loss: 5, gradNorm: 1 }));
  assert.equal(spikeOf(EMPTY_WINDOW, { loss: 1e9, gradNorm: 1e9 }), undefined);
});

Deno.test("losses that spread further upwards than downwards are judged by their upward spread", () => {
  // Exponential: six deviations of the bulk above the median are e^-4.97, 7 in 1000, here 39 of 4000.
  const uniform = (i: number) => Math.abs(Math.sin(12.9898 * (i + 1)) * 43758.5453) % 1;
  let [window, alarms] = [EMPTY_WINDOW, 0];
  for (let i = 0; i < 4000; i++) {
    const step = { loss: 3 - 0.2 * Math.log(1 - uniform(i)), gradNorm: 1 };
    if (spikeOf(window, step) === undefined) window = widened(window, step);
    else alarms++;
  }
  assert.ok(alarms <= 12, `${alarms} alarms`);
  assert.ok(spikeOf(window, { loss: 3 + 0.2 * 14, gradNorm: 1 }));
});

Deno.test("a curve that falls steeply hides no spike of ten deviations", () => {
  let window = EMPTY_WINDOW;
  for (const [i, { loss, gradNorm }] of noisy(64).entries()) {
    window = widened(window, { loss: loss + 6 * Math.exp(-i / 25), gradNorm });
  }
  const sorted = [...window.losses].sort((a, b) => a - b);
  const middle = (sorted[31]! + sorted[32]!) / 2;
  const distances = sorted.map((loss) => Math.abs(loss - middle)).sort((a, b) => a - b);
  const deviation = 1.4826 * (distances[31]! + distances[32]!) / 2;
  assert.ok(spikeOf(window, { loss: middle + 10 * deviation, gradNorm: 1 }));
});

Deno.test("a long run may recover as often as PaLM's did, and an ill one may not", () => {
  // PaLM 540B: about 20 spikes in 255,000 steps.
  const spread = Array.from({ length: 20 }, (_, i) => ({ step: 12_000 * i, batches: 200 }));
  assert.ok(planRecovery(254_000, { saveEvery: 100, earlier: spread }));
  const dense = Array.from({ length: 16 }, (_, i) => ({ step: 50_000 + 600 * i, batches: 200 }));
  assert.equal(planRecovery(59_500, { saveEvery: 100, earlier: dense }), undefined);
});

Deno.test("a recovery goes back 100 steps or more and skips 200 to 500 batches, so often at most", () => {
  const first = planRecovery(1234, { saveEvery: 50, earlier: [] })!;
  assert.deepEqual(first, { rewindTo: 1100, skip: { step: 1134, batches: 200 } });
  const early = planRecovery(60, { saveEvery: 50, earlier: [] })!;
  assert.deepEqual(early, { rewindTo: 0, skip: { step: 0, batches: 200 } });
  const earlier = [first.skip];
  const skipped: number[] = [];
  for (;;) {
    const next = planRecovery(1234, { saveEvery: 50, earlier });
    if (next === undefined) break;
    skipped.push(next.skip.batches);
    earlier.push(next.skip);
  }
  assert.deepEqual(skipped, [300, 400, 500]);
  assert.ok(planRecovery(90_000, { saveEvery: 50, earlier }) !== undefined);
});

type Forward = (batch: TrainBatch, options: GradientOptions) => ReturnType<
  ObservedSession["machine"]["model"]["forwardBackward"]
>;

/** Puts something between a model and its trainer: `meddle` gets the number of the call, from 1. */
function meddling(
  meddle: (call: number, session: ObservedSession, batch: TrainBatch) => number | undefined,
): (session: ObservedSession) => void {
  return (session) => {
    const { model } = session.machine;
    const own: Forward = model.forwardBackward.bind(model);
    let calls = 0;
    model.forwardBackward = (batch, options) => {
      const sums = own(batch, options);
      const added = meddle(++calls, session, batch);
      return added === undefined ? sums : { ...sums, ce: sums.ce + added };
    };
  };
}

/** Overwrites one gradient. */
function poison({ machine, backend }: ObservedSession, value: number): void {
  backend.upload(machine.model.parameters[3]!.grad, Float32Array.of(value));
}

onBackends("NaN and infinity in loss or gradients never reach the weights", async ({ name }) => {
  await inRunFolder(async ({ folder, data }) => {
    // One micro-batch a step, so that a call is a step.
    const config = smallRun(data, { microBatch: 4, clip: 0, saveEvery: 3 });
    const meddle = meddling((step, session) => {
      if (step === 3) poison(session, NaN);
      if (step === 5) poison(session, -Infinity);
      // Finite in itself, but not its square.
      if (step === 6) poison(session, 3e38);
      return step === 8 ? NaN : undefined;
    });
    const run = join(folder, "run");
    const { rows, events, paths } = await train(run, config, { backend: name, meddle });
    const dropped = rows.filter((row) => row.dropped !== undefined).map(({ step }) => step);
    assert.deepEqual(dropped, [3, 5, 6, 8]);
    assert.deepEqual(events.flatMap((e) => e.event === "dropped" ? [e.step] : []), dropped);
    const text = await Deno.readTextFile(join(paths.checkpoints, "latest/training/state.json"));
    assert.equal(JSON.parse(text).state.updates, config.settings.steps - dropped.length);
    for (const file of ["model.safetensors", "training/optimizer.safetensors"]) {
      const bytes = await Deno.readFile(join(paths.checkpoints, "latest", file));
      const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      const values = new Float32Array(bytes.slice(8 + header).buffer);
      assert.ok(values.length > 1000 && values.every((value) => Number.isFinite(value)), file);
    }
    // The row of a step that was dropped has null where the number is none.
    assert.equal(readMetrics(paths.metrics)[2]!.grad_norm, null);
  });
});

Deno.test("a run whose gradients stay infinite ends with an error, its checkpoint whole", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const config = smallRun(data, { microBatch: 4, steps: 40 });
    const meddle = meddling((step, session) => {
      if (step > 6) poison(session, Infinity);
      return undefined;
    });
    await assert.rejects(
      train(join(folder, "run"), config, { meddle }),
      (error: Error) => error instanceof LlameroError && /10 steps in a row/.test(error.message),
    );
    const whole = await train(join(folder, "run"), config);
    const fresh = await train(join(folder, "fresh"), config);
    assert.ok(whole.rows.length < 40 && fresh.rows.length === 40);
  });
});

/** The tokens that a model sees in a step, as something to tell batches apart by. */
const fingerprint = ({ tokens }: TrainBatch) => tokens.join();

onBackends(
  "a spike is never learnt from: the run goes back, skips data and ends",
  async ({ name }) => {
    await inRunFolder(async ({ folder, data }) => {
      const settings = { microBatch: 4, steps: 240, saveEvery: 20, keep: 2, skipSpikes: true };
      const config = smallRun(data, { ...settings, lr: 1e-3 });
      // What is wrong lies in the data: the same batches would make the same spike again.
      let bad: string | undefined;
      const meddle = meddling((call, _, batch) => {
        if (call === 150) bad = fingerprint(batch);
        return fingerprint(batch) === bad ? 64 * 3 : undefined;
      });
      const { rows, events, paths } = await train(join(folder, "run"), config, {
        backend: name,
        meddle,
      });
      const spikes = events.filter(({ event }) => event === "spike");
      assert.deepEqual(spikes.map((spike) => ({ ...spike, reason: "" })), [{
        event: "spike",
        step: 150,
        reason: "",
        rewind_to: 40,
        skip_step: 50,
        skip_batches: 200,
      }]);
      assert.equal(readEvents(paths.events).filter(({ event }) => event === "spike").length, 1);
      assert.deepEqual(rows.map(({ step }) => step), Array.from({ length: 240 }, (_, i) => i + 1));
      assert.deepEqual(timeless(readMetrics(paths.metrics)), timeless(rows));
      assert.ok(rows.every(({ loss }) => loss! < 5));
      // The weights are those of a run that leaves out these batches from the beginning.
      const skipping = smallRun(data, {
        ...settings,
        lr: 1e-3,
        skipBatches: [{ step: 49, batches: 200 }],
      });
      const other = await train(join(folder, "other"), skipping, { backend: name });
      const weights = "step-000240/model.safetensors";
      const hashes = await checkpointHashes(paths);
      assert.equal(hashes[weights], (await checkpointHashes(other.paths))[weights]);
    });
  },
);

Deno.test("a second spike soon after the first, and a damaged checkpoint, cost a longer way back", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const config = smallRun(data, {
      ...{ microBatch: 4, steps: 340, saveEvery: 20, keep: 1, skipSpikes: true, lr: 1e-3 },
    });
    // Going on from step 200, calls after the 310th are steps 201, 202, …; from step 100 then.
    const meddle = meddling((call) => [310, 310 + 15].includes(call) ? 64 * 3 : undefined);
    const spikesOf = ({ events }: Awaited<ReturnType<typeof train>>) =>
      events.flatMap((e) => e.event === "spike" ? [[e.step, e.rewind_to, e.skip_batches]] : []);
    const told = await train(join(folder, "run"), config, { meddle });
    assert.deepEqual(spikesOf(told), [[310, 200, 200], [215, 100, 300]]);
    assert.deepEqual(
      told.rows.map(({ step }) => step),
      Array.from({ length: 340 }, (_, i) => i + 1),
    );

    const run = join(folder, "damaged");
    const damage = meddling((call) => {
      if (call !== 310) return undefined;
      const file = join(run, "checkpoints/step-000200/model.safetensors");
      Deno.writeFileSync(file, Deno.readFileSync(file).fill(0, -4));
      return 64 * 3;
    });
    assert.deepEqual(spikesOf(await train(run, config, { meddle: damage })), [[310, 100, 200]]);
  });
});

Deno.test("recovery is deterministic: stopped before, at and after a spike, the bytes are the same", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const settings = { microBatch: 4, steps: 200, saveEvery: 20, skipSpikes: true, lr: 1e-3 };
    const config = smallRun(data, settings);
    const bad = await badBatch(config, join(folder, "probe"));
    const meddle = meddling((_, __, batch) => fingerprint(batch) === bad ? 64 * 3 : undefined);
    const whole = await train(join(folder, "whole"), config, { meddle });
    assert.equal(whole.events.filter(({ event }) => event === "spike").length, 1);
    const run = join(folder, "stopped");
    let told = 0;
    for (const stop of [100, 149, 155, 190, 260]) {
      const controller = new AbortController();
      const { signal } = controller;
      const onStep = () => ++told === stop && controller.abort();
      try {
        await train(run, config, { meddle, signal, onStep });
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      }
    }
    const last = await train(run, config, { meddle });
    assert.deepEqual(await checkpointHashes(last.paths), await checkpointHashes(whole.paths));
    assert.deepEqual(
      timeless(readMetrics(last.paths.metrics)),
      timeless(readMetrics(whole.paths.metrics)),
    );
  });
});

/** The batch of step 150. */
async function badBatch(config: ReturnType<typeof smallRun>, run: string): Promise<string> {
  let found = "";
  const meddle = meddling((call, _, batch) => {
    if (call === 150) found = fingerprint(batch);
    return undefined;
  });
  await train(run, { ...config, settings: { ...config.settings, skipSpikes: false } }, { meddle });
  return found;
}

Deno.test("a failure starts the run again from its checkpoint, as often as it may", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const whole = await train(join(folder, "whole"), smallRun(data));
    const config = smallRun(data, { restarts: 2 });
    let failures = 0;
    const meddle = meddling((call) => {
      if (call === 5 && failures++ < 2) throw new LlameroError("Cannot go on: injected");
      return undefined;
    });
    const { paths } = await train(join(folder, "run"), config, { meddle });
    const restarts = readEvents(paths.events).filter(({ event }) => event === "restart");
    assert.equal(restarts.length, 2);
    const weights = "step-000012/model.safetensors";
    assert.equal(
      (await checkpointHashes(paths))[weights],
      (await checkpointHashes(whole.paths))[weights],
    );
    failures = -1;
    await assert.rejects(train(join(folder, "again"), config, { meddle }), /injected/);
  });
});
