import { deepStrictEqual, ok } from "node:assert/strict";
import type { Recompute } from "../../../lib/model/training/trainable.ts";
import { onBackends } from "../../on_backends.ts";
import { assertNear, GOLDEN_MODELS, goldenExpected, LOSS_TOLERANCE } from "../golden_models.ts";
import {
  assertProbe,
  goldenDocuments,
  goldenTrainBatch,
  GRADIENT_TOLERANCE,
  gradientsOf,
  NORM_TOLERANCE,
  normOf,
  openGolden,
  storedGradients,
} from "./golden_training.ts";

const SETTINGS: readonly Recompute[] = ["none", "selective", "full"];

function assertProbes(
  gradients: ReadonlyMap<string, Float32Array>,
  expected: { readonly grad_probes: object; readonly grad_norm_f64: number },
): void {
  const probes = Object.entries(expected.grad_probes);
  deepStrictEqual(probes.map(([name]) => name).sort(), [...gradients.keys()].sort());
  for (const [name, probe] of probes) assertProbe(name, gradients.get(name)!, probe);
  const [norm, wanted] = [normOf(gradients.values()), expected.grad_norm_f64];
  ok(Math.abs(norm - wanted) <= NORM_TOLERANCE * wanted, `norm ${norm}, ${wanted} wanted`);
}

for (const name of GOLDEN_MODELS) {
  onBackends(`${name}: the gradient of every tensor is PyTorch's in float64`, async (on) => {
    using opened = await on.open(2);
    const model = await openGolden(opened.backend, name);
    const { loss, gradients } = gradientsOf(model, goldenTrainBatch(name));
    const expected = goldenExpected(name);
    assertNear([loss], [expected.loss.ce_f64], LOSS_TOLERANCE);
    for (const [tensor, wanted] of await storedGradients(name)) {
      const largest = wanted.reduce((max, g) => Math.max(max, Math.abs(g)), 0);
      assertNear(gradients.get(tensor)!, wanted, GRADIENT_TOLERANCE * largest);
    }
    assertProbes(gradients, expected);
  }, { gpu: true });

  onBackends(`${name}: the gradients with z-loss are PyTorch's`, async (on) => {
    using opened = await on.open(2);
    const model = await openGolden(opened.backend, name);
    const { z_loss } = goldenExpected(name);
    const zLoss = z_loss.coef;
    const { loss, gradients } = gradientsOf(model, goldenTrainBatch(name), { zLoss });
    assertNear([loss], [z_loss.total_f64], LOSS_TOLERANCE);
    assertProbes(gradients, z_loss);
  });

  onBackends(`${name}: the gradients of packed documents are PyTorch's`, async (on) => {
    using opened = await on.open(2);
    const model = await openGolden(opened.backend, name);
    const { docmask } = goldenExpected(name);
    const { loss, gradients } = gradientsOf(model, goldenDocuments(name));
    assertNear([loss], [docmask.ce_f64], LOSS_TOLERANCE);
    assertProbes(gradients, docmask);
  });

  onBackends(`${name}: recomputation and threads change no bit of a gradient`, async (on) => {
    const found: ReturnType<typeof gradientsOf>[] = [];
    for (const threads of [1, 2, 3]) {
      using opened = await on.open(threads);
      for (const recompute of SETTINGS) {
        const model = await openGolden(opened.backend, name, { recompute });
        found.push(gradientsOf(model, goldenDocuments(name), { zLoss: 1e-4 }));
      }
    }
    for (const other of found.slice(1)) deepStrictEqual(other, found[0]);
  });
}
