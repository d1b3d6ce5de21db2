/**
 * The golden models as models that train: their batches, with and without document masks.
 *
 * @module
 */

import { ok } from "node:assert/strict";
import type { Backend } from "../../../lib/backend/backend.ts";
import { readTensor } from "../../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../../lib/formats/safetensors.ts";
import type { TrainBatch, TrainingOptions } from "../../../lib/model/training/trainable.ts";
import { TrainableModel } from "../../../lib/model/training/trainable_model.ts";
import { golden } from "../../fixtures.ts";
import { goldenBatch, type GoldenModel, goldenSource } from "../golden_models.ts";

/** Largest difference of a gradient that tests/golden/README.md allows, over the largest gradient. */
export const GRADIENT_TOLERANCE = 5e-5;
/** Largest relative difference of a norm that it allows. */
export const NORM_TOLERANCE = 1e-5;

/** Sequences [B][T] as a batch; documents, where given, begin where their number changes. */
export function batchOf(given: {
  readonly tokens: readonly (readonly number[])[];
  readonly targets: readonly (readonly number[])[];
  readonly documents?: readonly (readonly number[])[] | undefined;
  readonly positions?: readonly (readonly number[])[] | undefined;
}): TrainBatch {
  const { tokens, targets, documents, positions } = given;
  const [sequences, length] = [tokens.length, tokens[0]!.length];
  const starts = new Int32Array(sequences * length);
  const places = new Int32Array(sequences * length);
  for (let row = 0; row < starts.length; row++) {
    const [b, t] = [Math.floor(row / length), row % length];
    const ofRow = documents?.[b];
    const same = t > 0 && ofRow?.[t] === ofRow?.[t - 1];
    starts[row] = same ? starts[row - 1]! : row;
    places[row] = positions?.[b]?.[t] ?? row - starts[row]!;
  }
  return {
    sequences,
    length,
    tokens: Int32Array.from(tokens.flat()),
    targets: Int32Array.from(targets.flat()),
    starts,
    positions: places,
  };
}

/** Some whole sequences of a batch. */
export function sequencesOf(
  batch: TrainBatch,
  { first, count }: { readonly first: number; readonly count: number },
): TrainBatch {
  const [begin, end] = [first * batch.length, (first + count) * batch.length];
  return {
    sequences: count,
    length: batch.length,
    tokens: batch.tokens.slice(begin, end),
    targets: batch.targets.slice(begin, end),
    starts: batch.starts.slice(begin, end).map((start) => start - begin),
    positions: batch.positions.slice(begin, end),
  };
}

/** A golden model's batch. */
export function goldenTrainBatch(name: GoldenModel): TrainBatch {
  const { input_ids, targets } = goldenBatch(name);
  return batchOf({ tokens: input_ids, targets });
}

/** The same tokens as packed documents. */
export function goldenDocuments(name: GoldenModel): TrainBatch {
  const { input_ids, docmask } = goldenBatch(name);
  return batchOf({
    tokens: input_ids,
    targets: docmask.targets,
    documents: docmask.doc_ids,
    positions: docmask.position_ids,
  });
}

/** A golden model with its weights, ready to train. */
export async function openGolden(
  backend: Backend,
  name: GoldenModel,
  options: Partial<TrainingOptions> = {},
): Promise<TrainableModel> {
  const source = await goldenSource(name);
  const model = new TrainableModel(backend, source, { maxRows: 256, ...options });
  await model.load(source);
  return model;
}

/** Gradients of the mean loss of a batch by Hugging Face names, and the losses. */
export function gradientsOf(
  model: TrainableModel,
  batch: TrainBatch,
  options: { readonly zLoss?: number } = {},
): { readonly loss: number; readonly gradients: Map<string, Float32Array> } {
  const count = batch.targets.filter((target) => target >= 0).length;
  const sums = model.forwardBackward(batch, {
    weightScale: 1 / count,
    accumulate: false,
    zLoss: 0,
    ...options,
  });
  const gradients = new Map(
    model.parameters.map((parameter) => [
      parameter.spec.names.huggingFace,
      model.gradient(parameter),
    ]),
  );
  return { loss: (sums.ce + sums.z) / sums.weight, gradients };
}

/** What stands for a tensor that is not stored in full: see tests/golden/README.md. */
export interface TensorProbe {
  readonly n: number;
  readonly l2: number;
  readonly sum: number;
  readonly sin: number;
  readonly max: number;
  readonly head: readonly number[];
}

/** Fails unless a tensor has the numbers of its probe. */
export function assertProbe(name: string, values: Float32Array, probe: TensorProbe): void {
  let [sum, sin, squares, max] = [0, 0, 0, 0];
  values.forEach((value, i) => {
    sum += value;
    sin += value * Math.sin(i + 1);
    squares += value * value;
    max = Math.max(max, Math.abs(value));
  });
  const l2 = Math.sqrt(squares);
  ok(values.length === probe.n, `${name} has ${values.length} elements, ${probe.n} wanted`);
  const near = (what: string, got: number, wanted: number, tolerance: number) =>
    ok(Math.abs(got - wanted) <= tolerance, `${what} of ${name} is ${got}, ${wanted} wanted`);
  near("l2", l2, probe.l2, NORM_TOLERANCE * probe.l2);
  near("sum", sum, probe.sum, GRADIENT_TOLERANCE * probe.l2);
  near("sin", sin, probe.sin, GRADIENT_TOLERANCE * probe.l2);
  near("max", max, probe.max, GRADIENT_TOLERANCE * probe.max);
  probe.head.forEach((wanted, i) =>
    near(`[${i}]`, values[i]!, wanted, GRADIENT_TOLERANCE * probe.max)
  );
}

/** The gradients that are stored in full, by Hugging Face names. */
export async function storedGradients(name: GoldenModel): Promise<Map<string, Float32Array>> {
  const { records } = await readSafetensors(golden(`${name}/grads.safetensors`));
  const stored = new Map<string, Float32Array>();
  for (const [tensor, record] of records) {
    stored.set(tensor, new Float32Array((await readTensor(record)).slice().buffer));
  }
  return stored;
}

/** Root of the sum of all squares. */
export function normOf(gradients: Iterable<Float32Array>): number {
  let squares = 0;
  for (const values of gradients) for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}
