import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { runLocal } from "../../../lib/comm/local/run.ts";
import { heldElements, sliceRuns } from "../../../lib/model/training/parts.ts";
import type { Recompute } from "../../../lib/model/training/trainable.ts";
import type { WeightSpec } from "../../../lib/model/weights.ts";
import { onBackends } from "../../on_backends.ts";
import { GOLDEN_MODELS } from "../golden_models.ts";
import { goldenDocuments, goldenTrainBatch } from "./golden_training.ts";
import type { PartGradient, TensorInput, TensorResult } from "./tensor_program.ts";

const MODULE = new URL("./tensor_program.ts", import.meta.url);
/** Issue: losses of a mesh against those of one rank, and gradients over the largest of a tensor. */
const LOSS_TOLERANCE = 1e-6;
const GRADIENT_TOLERANCE = 2e-5;

function onTensorRanks(ranks: number, input: TensorInput): Promise<TensorResult[]> {
  return runLocal<TensorResult, TensorInput>(MODULE, { ranks, input, timeLimitMs: 60_000 });
}

/** Puts a tensor together from what the ranks have of it; all copies must have the same bits. */
function whole(
  parts: readonly PartGradient[],
  of: (part: PartGradient) => Float32Array,
): Float32Array {
  const { shape } = parts[0]!;
  const all = new Float32Array(shape.reduce((product, extent) => product * extent, 1)).fill(NaN);
  for (const part of parts) {
    const held = { spec: { shape } as WeightSpec, slice: part.slice };
    const values = of(part);
    strictEqual(values.length, heldElements(held));
    for (const { whole: to, held: from, count } of sliceRuns(held)) {
      const place = all.subarray(to, to + count);
      const run = values.subarray(from, from + count);
      if (part.copy > 0) deepStrictEqual(run, place, `copies of ${part.name} differ`);
      place.set(run);
    }
  }
  ok(all.every((value) => !Number.isNaN(value)), `${parts[0]!.name} is not whole`);
  return all;
}

function byParameter(results: readonly TensorResult[]): readonly (readonly PartGradient[])[] {
  return results[0]!.gradients.map((_, index) => results.map((one) => one.gradients[index]!));
}

/** Fails unless ranks have the losses and gradients of one. */
function assertAsOne(results: readonly TensorResult[], one: TensorResult): void {
  for (const result of results) {
    deepStrictEqual(result.losses, results[0]!.losses, "losses of the ranks differ");
    deepStrictEqual(result.evaluated, results[0]!.evaluated);
  }
  const near = (what: string, got: number, wanted: number) =>
    ok(
      Math.abs(got - wanted) <= LOSS_TOLERANCE * Math.abs(wanted),
      `${what} ${got}, ${wanted} wanted`,
    );
  results[0]!.losses.forEach((loss, index) => {
    near("ce", loss.ce, one.losses[index]!.ce);
    near("z", loss.z, one.losses[index]!.z);
    strictEqual(loss.count, one.losses[index]!.count);
  });
  near("evaluated", results[0]!.evaluated.ce, one.evaluated.ce);
  for (const parts of byParameter(results)) {
    const { name } = parts[0]!;
    const wanted = one.gradients.find((part) => part.name === name)!;
    deepStrictEqual(whole(parts, ({ weight }) => weight), wanted.weight, `weights of ${name}`);
    const largest = wanted.gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    ok(largest > 0, `${name} has no gradient`);
    whole(parts, ({ gradient }) => gradient).forEach((g, i) => {
      const off = Math.abs(g - wanted.gradient[i]!) / largest;
      ok(off <= GRADIENT_TOLERANCE, `${name}[${i}] is off by ${off} of the largest`);
    });
  }
}

for (const name of GOLDEN_MODELS) {
  onBackends(`${name}: tensor ranks have the losses and gradients of one`, async (on) => {
    const input: TensorInput = {
      ...{ backend: on.name, model: name, zLoss: 1e-4, times: 2 },
      batches: [goldenTrainBatch(name), goldenDocuments(name)],
    };
    const [one] = await onTensorRanks(1, input);
    for (const ranks of [2, 4]) {
      const results = await onTensorRanks(ranks, input);
      assertAsOne(results, one!);
      const again = await onTensorRanks(ranks, { ...input, times: 1 });
      deepStrictEqual(again[0]!.gradients, results[0]!.gradients, "another run, other bits");
    }
  });
}

const RECOMPUTE: readonly Recompute[] = ["none", "selective", "full"];

for (const name of ["llama_gqa", "palm"] as const) {
  onBackends(`${name}: recomputation changes no bit of tensor ranks' gradients`, async (on) => {
    const results: TensorResult[][] = [];
    for (const recompute of RECOMPUTE) {
      results.push(
        await onTensorRanks(2, {
          ...{ backend: on.name, model: name, batches: [goldenDocuments(name)], zLoss: 1e-4 },
          options: { recompute, packWeights: recompute === "full" },
        }),
      );
    }
    for (const other of results.slice(1)) {
      other.forEach(({ gradients, losses }, rank) => {
        deepStrictEqual(gradients, results[0]![rank]!.gradients);
        deepStrictEqual(losses, results[0]![rank]!.losses);
      });
    }
  });

  onBackends(`${name}: tensor ranks drop what one drops`, async (on) => {
    for (const recompute of RECOMPUTE) {
      const input: TensorInput = {
        ...{ backend: on.name, model: name },
        batches: [goldenTrainBatch(name), goldenDocuments(name)],
        options: { dropout: 0.2, recompute },
        dropout: { seed: 5, step: 7 },
      };
      const [one] = await onTensorRanks(1, input);
      const [none] = await onTensorRanks(1, { ...input, options: {} });
      ok(none!.losses[0]!.ce !== one!.losses[0]!.ce);
      assertAsOne(await onTensorRanks(2, input), one!);
    }
  });
}
