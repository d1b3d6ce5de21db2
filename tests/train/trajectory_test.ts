import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import type { DecoderSource } from "../../lib/model/load_weights.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";
import { meshOfOne } from "../../lib/train/machine.ts";
import { Optimizer } from "../../lib/train/optimizer.ts";
import { openReplica } from "../../lib/train/replica.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { FIRST_STATE } from "../../lib/train/state.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { golden, MODELS } from "../fixtures.ts";
import { goldenSource } from "../model/golden_models.ts";
import { onBackends } from "../on_backends.ts";
import {
  ADAFACTOR,
  ADAMW,
  BATCHES,
  dataOf,
  type GivenBatch,
  optimizerJson,
} from "./optimizer_runs.ts";
import {
  ADAFACTOR_TOLERANCE,
  ADAMW_TOLERANCE,
  assertSteps,
  assertWeights,
  type StepNumbers,
} from "./tolerances.ts";

/** Sum of squares and largest absolute value of a tensor. */
interface Probe {
  readonly l2: number;
  readonly sum: number;
  readonly sin: number;
}

type Settings = Partial<TrainSettings>;

function json<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

interface Trajectory {
  readonly steps: StepNumbers[];
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** Trains as a run does, on given batches in turn. */
async function follow(
  on: Parameters<Parameters<typeof onBackends>[1]>[0],
  source: DecoderSource,
  given: {
    readonly settings: Settings;
    readonly batches: readonly GivenBatch[];
    readonly dtype?: "bf16";
  },
): Promise<Trajectory> {
  using opened = await on.open(2);
  const settings = given.settings as TrainSettings;
  const options = { maxRows: 1024, packWeights: true, dtype: given.dtype };
  const model = new TrainableModel(opened.backend, source, options);
  await model.load(source);
  const optimizer = new Optimizer(opened.backend, { parameters: model.parameters, settings });
  const data = dataOf(given.batches);
  const mesh = meshOfOne();
  const { engine } = openReplica(opened.backend, { ...options, model, mesh, settings });
  const trainer = new Trainer({ mesh, model, optimizer, engine, data, settings });
  const steps: StepNumbers[] = [];
  for (let state = FIRST_STATE; state.step < settings.steps;) {
    const result = await trainer.step(state);
    steps.push({ lr: result.lr, loss: result.loss, grad_norm: result.gradNorm });
    state = result.state;
  }
  const weights = new Map(
    model.parameters.map((
      parameter,
    ) => [parameter.spec.names.huggingFace, model.weight(parameter)]),
  );
  optimizer.close();
  model.close();
  return { steps, weights };
}

async function finalWeights(file: string): Promise<Map<string, Float32Array>> {
  const { records } = await readSafetensors(golden(`optim/${file}`));
  const weights = new Map<string, Float32Array>();
  for (const [name, record] of records) {
    weights.set(name, new Float32Array((await readTensor(record)).slice().buffer));
  }
  return weights;
}

interface Variant {
  readonly clip?: number;
  readonly loss: readonly number[];
  readonly grad_norm: readonly number[];
}

interface Reference {
  readonly steps_f64: readonly StepNumbers[];
  readonly clip_variant: Variant;
  readonly "eps_1e-5": Variant;
  readonly no_update_clipping: Variant;
}

function stepsOf({ loss, grad_norm }: Variant, like: readonly StepNumbers[]): StepNumbers[] {
  return loss.map((value, i) => ({ lr: like[i]!.lr, loss: value, grad_norm: grad_norm[i]! }));
}

onBackends(
  "20 steps of AdamW follow PyTorch's in float64, and so does accumulation",
  async (on) => {
    const reference = optimizerJson<Reference>("adamw.json");
    const batches = BATCHES;
    const source = await goldenSource("llama_mha");
    const expected = await finalWeights("adamw_final.safetensors");
    for (const microBatch of [4, 2, 3, 1]) {
      const settings = { ...ADAMW, microBatch };
      const { steps, weights } = await follow(on, source, { settings, batches });
      assertSteps(steps, reference.steps_f64, ADAMW_TOLERANCE);
      assertWeights(weights, expected, ADAMW_TOLERANCE);
    }
  },
  { gpu: "hardware" },
);

onBackends("AdamW with another clip or eps follows PyTorch's too", async (on) => {
  const reference = optimizerJson<Reference>("adamw.json");
  const batches = BATCHES;
  const source = await goldenSource("llama_mha");
  // From step 14 on the run with eps 1e-5 makes float32's rounding grow, in each instruction set to
  // another value; the reference has no measurement of it.
  const variants = [
    [{ ...ADAMW, clip: 14 }, reference.clip_variant, 20],
    [{ ...ADAMW, eps: 1e-5 }, reference["eps_1e-5"], 13],
  ] as const;
  for (const [settings, variant, count] of variants) {
    const { steps } = await follow(on, source, { settings, batches });
    const expected = stepsOf(variant, reference.steps_f64).slice(0, count);
    assertSteps(steps.slice(0, count), expected, ADAMW_TOLERANCE);
  }
});

onBackends("20 steps of PaLM's Adafactor follow the reference in float64", async (on) => {
  const reference = optimizerJson<Reference>("adafactor.json");
  const batches = optimizerJson<GivenBatch[]>("adafactor_batches.json");
  const source = await goldenSource("palm");
  const { steps, weights } = await follow(on, source, { settings: ADAFACTOR, batches });
  assertSteps(steps, reference.steps_f64, ADAFACTOR_TOLERANCE);
  assertWeights(weights, await finalWeights("adafactor_final.safetensors"), ADAFACTOR_TOLERANCE);
  const variants = [
    [{ ...ADAFACTOR, clip: 1.75 }, reference.clip_variant],
    [{ ...ADAFACTOR, updateClip: 0 }, reference.no_update_clipping],
  ] as const;
  for (const [settings, variant] of variants) {
    const other = await follow(on, source, { settings, batches });
    assertSteps(other.steps, stepsOf(variant, reference.steps_f64), ADAFACTOR_TOLERANCE);
  }
}, { gpu: "hardware" });

const STORIES = join(MODELS, "stories260K");

onBackends("six steps of fine-tuning stories260K follow the reference", async (on) => {
  const { finetune, teacher_forced } = json<{
    finetune: { steps_f64: StepNumbers[]; final_probes_f64: Record<string, Probe> };
    teacher_forced: { ids: number[] }[];
  }>(join(STORIES, "expected.json"));
  const { ids } = teacher_forced[0]!;
  const batch = { input_ids: [ids.slice(0, -1)], targets: [ids.slice(1)] };
  const settings: Settings = {
    ...ADAMW,
    steps: 6,
    lr: 1e-3,
    minLr: 1e-3,
    warmup: 0,
    schedule: "constant",
  };
  const source = await openCheckpoint(STORIES);
  const { steps, weights } = await follow(on, source, { settings, batches: [batch] });
  assertSteps(steps, finetune.steps_f64, { loss: 2e-5, norm: 5e-3 });
  for (const [name, { l2, sum, sin }] of Object.entries(finetune.final_probes_f64)) {
    const values = weights.get(name)!;
    const mine = [...values].reduce(
      (sums, x, i) => [sums[0]! + x * x, sums[1]! + x, sums[2]! + x * Math.sin(i + 1)],
      [0, 0, 0],
    );
    // The final weights may be 5e-5 of their length away (stories260K's README.md).
    assert.ok(Math.abs(Math.sqrt(mine[0]!) - l2) <= 5e-5 * l2, `${name}: l2 ${mine[0]} ${l2}`);
    const spread = 5e-5 * l2 * Math.sqrt(values.length);
    assert.ok(Math.abs(mine[1]! - sum) <= spread, `${name}: sum ${mine[1]} ${sum}`);
    assert.ok(Math.abs(mine[2]! - sin) <= spread, `${name}: sin ${mine[2]} ${sin}`);
  }
}, { ignored: existsSync(STORIES) ? undefined : "stories260K is not here" });
