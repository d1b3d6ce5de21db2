import { ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { TrainBatch } from "../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";
import { Optimizer, type OptimizerSettings } from "../../lib/train/optimizer.ts";
import { golden } from "../fixtures.ts";
import { NO_STORIES, STORIES } from "../infer/stories.ts";
import { assertNear } from "../model/golden_models.ts";
import { assertProbe, batchOf, openGolden } from "../model/training/golden_training.ts";
import { onBackends } from "../on_backends.ts";

interface GoldenStep {
  readonly batch: number;
  readonly lr: number;
  readonly loss: number;
  readonly grad_norm: number;
}

// deno-lint-ignore no-explicit-any -- a record of reference numbers, described in tests/golden/README.md
const readGolden = (path: string): any => JSON.parse(readFileSync(golden(path), "utf8"));

const ADAMW: OptimizerSettings = {
  optimizer: "adamw",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 0.1,
  clip: 1,
  updateClip: 0,
};
const ADAFACTOR: OptimizerSettings = {
  optimizer: "adafactor",
  beta1: 0.9,
  beta2: "1-k^-0.8",
  eps: 1e-30,
  weightDecay: "lr^2",
  clip: 1,
  updateClip: 1,
};

/** The batches of a golden run. */
function batchesOf(optimizer: string): TrainBatch[] {
  const batches: { input_ids: number[][]; targets: number[][] }[] = readGolden(
    `optim/${optimizer}_batches.json`,
  );
  return batches.map(({ input_ids, targets }) => batchOf({ tokens: input_ids, targets }));
}

/** How a run is driven. */
interface Drive {
  readonly settings: OptimizerSettings;
  readonly batches: readonly TrainBatch[];
  /** Batch and learning rate of every step. */
  readonly steps: readonly GoldenStep[];
  readonly zLoss?: number;
  /** Sequences that go through the model at once; all without it. */
  readonly together?: number;
}

/** The sequences of a batch, some at a time. */
function* parts(batch: TrainBatch, together: number): Generator<TrainBatch> {
  const { length, sequences } = batch;
  for (let first = 0; first < sequences; first += together) {
    const count = Math.min(together, sequences - first);
    const rows = <A extends Int32Array<ArrayBuffer>>(array: A) =>
      array.slice(first * length, (first + count) * length);
    yield {
      sequences: count,
      length,
      tokens: rows(batch.tokens),
      targets: rows(batch.targets),
      starts: rows(batch.starts).map((start) => start - first * length),
      positions: rows(batch.positions),
    };
  }
}

/** Trains and returns loss and gradient norm of every step. */
function drive(
  backend: Backend,
  model: TrainableModel,
  { settings, batches, steps, zLoss = 0, together }: Drive,
): { readonly losses: number[]; readonly norms: number[] } {
  const optimizer = new Optimizer(backend, { parameters: model.parameters, settings });
  const [losses, norms]: [number[], number[]] = [[], []];
  steps.forEach(({ batch: index, lr }, done) => {
    const batch = batches[index]!;
    const count = batch.targets.filter((target) => target >= 0).length;
    let loss = 0;
    let accumulate = false;
    for (const part of parts(batch, together ?? batch.sequences)) {
      const sums = model.forwardBackward(part, { weightScale: 1 / count, accumulate, zLoss });
      loss += (sums.ce + sums.z) / count;
      accumulate = true;
    }
    const { norm, finite } = optimizer.measure();
    ok(finite);
    optimizer.update({ update: done + 1, lr });
    model.weightsStepped();
    losses.push(loss);
    norms.push(norm);
  });
  optimizer.close();
  return { losses, norms };
}

/** Fails unless the weights are those of a file, by largest and by relative difference. */
async function assertWeights(
  model: TrainableModel,
  file: string,
  tolerance: { readonly most: number; readonly relative: number },
): Promise<void> {
  const { records } = await readSafetensors(golden(file));
  let [difference, length] = [0, 0];
  for (const parameter of model.parameters) {
    const record = records.get(parameter.spec.names.huggingFace)!;
    const wanted = new Float32Array((await readTensor(record)).slice().buffer);
    const got = model.weight(parameter);
    assertNear(got, wanted, tolerance.most);
    wanted.forEach((value, i) => {
      difference += (got[i]! - value) ** 2;
      length += value ** 2;
    });
  }
  const relative = Math.sqrt(difference / length);
  ok(relative <= tolerance.relative, `weights are off by ${relative}`);
}

for (const together of [undefined, 2, 1]) {
  const how = together === undefined ? "at once" : `${together} sequences at a time`;
  onBackends(`AdamW goes PyTorch's way for 20 steps, the batch ${how}`, async (on) => {
    using opened = await on.open(2);
    const { steps_f64: steps }: { steps_f64: GoldenStep[] } = readGolden("optim/adamw.json");
    const model = await openGolden(opened.backend, "llama_mha", {
      packWeights: together !== undefined,
    });
    const batches = batchesOf("adamw");
    const settings = ADAMW;
    const { losses, norms } = drive(opened.backend, model, {
      settings,
      batches,
      steps,
      ...together === undefined ? {} : { together },
    });
    assertNear(losses, steps.map(({ loss }) => loss), 1e-4);
    assertNear(norms, steps.map(({ grad_norm }) => grad_norm), 5e-3);
    await assertWeights(model, "optim/adamw_final.safetensors", { most: 3e-4, relative: 2e-5 });
  });
}

/** Settings, the record of the run, and how many steps single precision can follow it. */
type Variant = readonly [Partial<OptimizerSettings>, string, number];

const ADAMW_VARIANTS: Readonly<Record<string, Variant>> = {
  "a clip that some steps stay below": [{ clip: 14 }, "clip_variant", 20],
  // Epsilon shows from the second step on; from the fourteenth this run amplifies rounding tenfold.
  "Llama 2's epsilon": [{ eps: 1e-5 }, "eps_1e-5", 12],
};

for (const [name, [change, record, count]] of Object.entries(ADAMW_VARIANTS)) {
  onBackends(`AdamW with ${name} goes the reference's way`, async (on) => {
    using opened = await on.open(2);
    const run = readGolden("optim/adamw.json");
    const model = await openGolden(opened.backend, "llama_mha");
    const { losses } = drive(opened.backend, model, {
      settings: { ...ADAMW, ...change },
      batches: batchesOf("adamw"),
      steps: run.steps_f64.slice(0, count),
    });
    assertNear(losses, run[record].loss.slice(0, count), 1e-4);
  });
}

onBackends("Adafactor goes PaLM's way for 20 steps", async (on) => {
  using opened = await on.open(2);
  const { steps_f64: steps }: { steps_f64: GoldenStep[] } = readGolden("optim/adafactor.json");
  const model = await openGolden(opened.backend, "palm");
  const batches = batchesOf("adafactor");
  const settings = ADAFACTOR;
  const run = { settings, batches, steps, zLoss: 1e-4 };
  const { losses, norms } = drive(opened.backend, model, run);
  assertNear(losses, steps.map(({ loss }) => loss), 3e-5);
  assertNear(norms, steps.map(({ grad_norm }) => grad_norm), 3e-5);
  await assertWeights(model, "optim/adafactor_final.safetensors", { most: 3e-5, relative: 1e-5 });
});

onBackends(
  "Adafactor with another clip and without clipping updates goes the reference's way",
  async (on) => {
    using opened = await on.open(2);
    const { steps_f64: steps, clip_variant, no_update_clipping } = readGolden(
      "optim/adafactor.json",
    );
    const variants = [
      [{ ...ADAFACTOR, clip: 1.75 }, clip_variant],
      [{ ...ADAFACTOR, updateClip: 0 }, no_update_clipping],
    ] as const;
    for (const [settings, { loss }] of variants) {
      const model = await openGolden(opened.backend, "palm");
      const batches = batchesOf("adafactor");
      const { losses } = drive(opened.backend, model, { settings, batches, steps, zLoss: 1e-4 });
      assertNear(losses, loss, 3e-5);
      model.close();
    }
  },
);

onBackends("stories260K is tuned in six steps as the reference tunes it", async (on) => {
  using opened = await on.open(2);
  const expected = JSON.parse(readFileSync(join(STORIES, "expected.json"), "utf8"));
  const { steps_f64, final_probes_f64, text } = expected.finetune;
  const steps: readonly GoldenStep[] = steps_f64;
  const ids: readonly number[] = expected.teacher_forced[text].ids;
  const source = await openCheckpoint(STORIES);
  const model = new TrainableModel(opened.backend, source, { maxRows: ids.length });
  await model.load(source);
  const batches = [batchOf({ tokens: [ids.slice(0, -1)], targets: [ids.slice(1)] })];
  const { losses, norms } = drive(opened.backend, model, { settings: ADAMW, batches, steps });
  assertNear(losses, steps.map(({ loss }) => loss), 2e-5);
  assertNear(norms, steps.map(({ grad_norm }) => grad_norm), 1e-3);
  for (const parameter of model.parameters) {
    const name = parameter.spec.names.huggingFace;
    assertProbe(name, model.weight(parameter), final_probes_f64[name]);
  }
}, { ignored: NO_STORIES });
