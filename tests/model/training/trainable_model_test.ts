import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { BackendError } from "../../../lib/base/errors.ts";
import { trainingChunkRows } from "../../../lib/model/training/head.ts";
import { mostTrainingRows, planTrainingBytes } from "../../../lib/model/training/memory.ts";
import type { TrainBatch, TrainingOptions } from "../../../lib/model/training/trainable.ts";
import { trainsBf16 } from "../../../lib/model/training/precision.ts";
import { TrainableModel } from "../../../lib/model/training/trainable_model.ts";
import { presetOf } from "../../../lib/model/presets.ts";
import { countedBackend } from "../../counted_backend.ts";
import { onBackends } from "../../on_backends.ts";
import { assertNear } from "../golden_models.ts";
import {
  goldenTrainBatch,
  gradientsOf,
  normOf,
  openGolden,
  sequencesOf,
} from "./golden_training.ts";

const DEBUG = presetOf("debug").config;

function allGradients(model: TrainableModel): Map<string, Float32Array> {
  return new Map(model.parameters.map((p) => [p.spec.name, model.gradient(p)]));
}

for (const dropout of [0, 0.25]) {
  onBackends(`accumulated gradients are the full batch's, dropout ${dropout}`, async (on) => {
    using opened = await on.open(2);
    const model = await openGolden(opened.backend, "llama_gqa", { dropout });
    const batch = goldenTrainBatch("llama_gqa");
    const state = (firstRow: number) => ({ seed: 1, step: 2, firstRow });
    // What an earlier step left is replaced.
    model.forwardBackward(batch, { weightScale: 3 });
    const whole = model.forwardBackward(batch, {
      weightScale: 1 / 7,
      accumulate: false,
      dropout: state(0),
    });
    const wanted = allGradients(model);
    const [first, second] = [0, 1].map((part) => {
      const count = part === 0 ? 1 : batch.sequences - 1;
      return model.forwardBackward(sequencesOf(batch, { first: part, count }), {
        weightScale: 1 / 7,
        accumulate: part > 0,
        dropout: state(part * batch.length),
      });
    });
    strictEqual(first!.count + second!.count, whole.count);
    assertNear([first!.ce + second!.ce], [whole.ce], 1e-4);
    for (const [name, gradient] of allGradients(model)) {
      const largest = wanted.get(name)!.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      assertNear(gradient, wanted.get(name)!, 2e-6 * largest);
    }
  });
}

onBackends("what is dropped depends on seed, step and row, and on nothing else", async (on) => {
  using opened = await on.open(2);
  const model = await openGolden(opened.backend, "llama_mha", { dropout: 0.1 });
  const batch = goldenTrainBatch("llama_mha");
  const lossOf = (seed: number, step: number, firstRow: number) =>
    model.forwardBackward(batch, { weightScale: 1, dropout: { seed, step, firstRow } }).ce;
  const loss = lossOf(1, 2, 3);
  strictEqual(lossOf(1, 2, 3), loss);
  for (const [seed, step, row] of [[2, 2, 3], [1, 3, 3], [1, 2, 4]] as const) {
    notDeepStrictEqual(lossOf(seed, step, row), loss);
  }
  strictEqual(model.evaluate(batch).ce, model.forwardBackward(batch, { weightScale: 1 }).ce);
});

onBackends("a batch without targets has no loss, and zero gradients", async (on) => {
  using opened = await on.open(2);
  const model = await openGolden(opened.backend, "palm");
  const batch = goldenTrainBatch("palm");
  model.forwardBackward(batch, { weightScale: 1 });
  const before = allGradients(model);
  const targets = batch.targets.map(() => -100);
  const nothing = { ce: 0, z: 0, weight: 0, count: 0 };
  deepStrictEqual(model.forwardBackward({ ...batch, targets }, { weightScale: 1 }), nothing);
  deepStrictEqual(allGradients(model), before);
  model.forwardBackward({ ...batch, targets }, { weightScale: 1, accumulate: false });
  strictEqual(normOf(allGradients(model).values()), 0);
});

onBackends(
  "logits in chunks give the gradients of the whole, chunks without targets too",
  async (on) => {
    using opened = await on.open(2);
    const config = { ...DEBUG, vocabSize: 2 ** 20, hiddenSize: 4, numHiddenLayers: 1 };
    const rows = trainingChunkRows(config, 1000);
    strictEqual(rows, 16);
    const model = new TrainableModel(opened.backend, { config }, { maxRows: 4 * rows });
    model.initialize(3);
    const draw = (factor: number) =>
      Int32Array.from({ length: 4 * rows }, (_, row) => (row * row * factor + 17 * row) % 1009);
    const starts = draw(0).map((_, row) => row - row % rows);
    const batch: TrainBatch = {
      sequences: 4,
      length: rows,
      tokens: draw(31),
      // The first chunk and the third have none.
      targets: draw(57).map((target, row) => Math.floor(row / rows) % 2 === 0 ? -100 : target),
      starts,
      positions: starts.map((start, row) => row - start),
    };
    const whole = model.forwardBackward(batch, { weightScale: 1, accumulate: false });
    strictEqual(whole.count, 2 * rows);
    const wanted = allGradients(model);
    let ce = 0;
    for (let part = 0; part < 4; part++) {
      ce += model.forwardBackward(sequencesOf(batch, { first: part, count: 1 }), {
        weightScale: 1,
        accumulate: part > 0,
      }).ce;
    }
    assertNear([ce], [whole.ce], 1e-3);
    for (const [name, gradient] of allGradients(model)) {
      const largest = wanted.get(name)!.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      ok(largest > 0, name);
      assertNear(gradient, wanted.get(name)!, 2e-6 * largest);
    }
    strictEqual(model.evaluate(batch).ce, whole.ce);
  },
);

onBackends("packed weights give the same bits, also after they have changed", async (on) => {
  using opened = await on.open(2);
  const batch = goldenTrainBatch("llama_gqa_tied");
  const results = [];
  for (const packWeights of [false, true]) {
    const model = await openGolden(opened.backend, "llama_gqa_tied", { packWeights });
    const before = gradientsOf(model, batch);
    for (const parameter of model.parameters) {
      model.setWeight(parameter, model.weight(parameter).map((value) => 0.9 * value));
    }
    results.push([before, gradientsOf(model, batch), gradientsOf(model, batch)]);
  }
  deepStrictEqual(results[1], results[0]);
  notDeepStrictEqual(results[0]![1], results[0]![0]);
  deepStrictEqual(results[0]![2], results[0]![1]);
});

const SETTINGS: readonly Partial<TrainingOptions>[] = [
  {},
  { recompute: "selective" },
  { recompute: "full", dropout: 0.1 },
  { packWeights: true },
];

onBackends("memory is taken as planned, and none afterwards", async (on) => {
  using opened = await on.open(1);
  for (const settings of SETTINGS) {
    const options = { maxRows: 64, ...settings };
    const { moments, total } = planTrainingBytes(DEBUG, options);
    const { backend, taken } = countedBackend(opened.backend);
    const model = new TrainableModel(backend, { config: DEBUG }, options);
    model.initialize(1);
    const tokens = new Int32Array(64);
    const starts = new Int32Array(64);
    const positions = tokens.map((_, row) => row);
    const batch = { sequences: 1, length: 64, tokens, targets: tokens, starts, positions };
    model.forwardBackward(batch, { weightScale: 1, dropout: { seed: 1, step: 1 } });
    model.close();
    strictEqual(taken(), total - moments);
  }
});

Deno.test("the plan: 16 bytes per parameter, 18 in bf16, and less kept the more is computed again", () => {
  const { config } = presetOf("llama-15m");
  const parameters = 15_191_712;
  const plan = (options: Partial<TrainingOptions>) =>
    planTrainingBytes(config, { maxRows: 2048, ...options });
  const states = ({ weights, gradients, moments, compute }: ReturnType<typeof plan>) =>
    (weights + gradients + moments + compute) / parameters;
  ok(Math.abs(states(plan({})) - 16) < 0.01);
  ok(Math.abs(states(plan({ dtype: "bf16" })) - 18) < 0.01);
  const kept = (["none", "selective", "full"] as const).map((recompute) =>
    plan({ recompute }).kept
  );
  // Of each row of each block: input and middle (2 x 288), qkv (864), heads (288), softmax sums (6), gate
  // and up (1536); all has two norms (2 x 288) and silu(gate) * up (768) besides.
  const row = [576 + 864 + 288 + 6 + 1536 + 576 + 768, 576 + 864 + 288 + 6 + 1536, 288];
  deepStrictEqual(kept, row.map((floats) => 4 * 2048 * (6 * floats + 288)));
});

Deno.test("the most rows that fit are found", () => {
  const bytes = planTrainingBytes(DEBUG, { maxRows: 777 }).total;
  strictEqual(mostTrainingRows(DEBUG, { bytes }), 777);
  strictEqual(mostTrainingRows(DEBUG, { bytes: bytes - 1 }), 776);
  strictEqual(mostTrainingRows(DEBUG, { bytes: 1000 }), 0);
});

onBackends(
  "bf16 trains where the processor has it, and is refused with a hint elsewhere",
  async (on) => {
    using opened = await on.open(2);
    const { backend } = opened;
    if (!trainsBf16(backend)) {
      throws(
        () => new TrainableModel(backend, { config: DEBUG }, { maxRows: 8, dtype: "bf16" }),
        (error) => error instanceof BackendError && error.hint === "--dtype f32",
      );
      return;
    }
    const batch = goldenTrainBatch("palm");
    const exact = gradientsOf(await openGolden(backend, "palm"), batch);
    const rounded = gradientsOf(await openGolden(backend, "palm", { dtype: "bf16" }), batch);
    for (const recompute of ["selective", "full"] as const) {
      const model = await openGolden(backend, "palm", { dtype: "bf16", recompute });
      deepStrictEqual(gradientsOf(model, batch), rounded);
    }
    assertNear([rounded.loss], [exact.loss], 2e-3);
    for (const [name, wanted] of exact.gradients) {
      const got = rounded.gradients.get(name)!;
      const difference = normOf([got.map((value, i) => value - wanted[i]!)]);
      // Factors have eight bits; that nothing is rounded at all is a mistake too.
      const share = difference / normOf([wanted]);
      ok(share > 1e-4 && share <= 2e-2, `${name} is off by ${share}`);
    }
  },
  { gpu: true },
);

onBackends("a batch that does not fit is refused before anything is computed", async (on) => {
  using opened = await on.open(1);
  const model = new TrainableModel(opened.backend, { config: DEBUG }, { maxRows: 4 });
  const four = Int32Array.of(0, 1, 2, 3);
  const batch: TrainBatch = {
    sequences: 1,
    length: 4,
    tokens: four,
    targets: four,
    starts: new Int32Array(4),
    positions: four,
  };
  const refused = (change: Partial<TrainBatch>, message: RegExp) =>
    throws(() => model.forwardBackward({ ...batch, ...change }, { weightScale: 1 }), message);
  refused({ sequences: 2 }, /8 rows, 1 to 4 were planned/);
  refused({ tokens: Int32Array.of(0, 1, 2, 512) }, /token 512 of row 3 .* 512/);
  refused({ targets: Int32Array.of(0, 1, 600, 0) }, /target 600 of row 2/);
  refused({ starts: Int32Array.of(0, 0, 2, 1) }, /row 3 starts at 1/);
  refused({ positions: Int32Array.of(0, -1, 2, 3) }, /position -1 of row 1/);
  refused({ weights: new Float32Array(3) }, /"weights" has 3 numbers, 4 were wanted/);
  strictEqual(normOf(allGradients(model).values()), 0);
});
