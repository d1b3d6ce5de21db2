/**
 * The gradients of one batch, for comparing with any other implementation.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { ConfigError } from "../base/errors.ts";
import { reorderRows } from "../checkpoint/rope_rows.ts";
import type { TensorSource } from "../formats/tensor_file.ts";
import type { DecoderSource } from "../model/load_weights.ts";
import type { Parameter, Recompute, TrainBatch } from "../model/training/trainable.ts";
import { TrainableModel } from "../model/training/trainable_model.ts";
import { documentSpans, type ProbeBatch } from "./probe_batch.ts";

/** How gradients are probed. */
export interface ProbeGradientsOptions {
  /** Token ids and targets. */
  readonly batch: ProbeBatch;
  /** Whether attention stays inside a document and positions restart. @default {false} */
  readonly documentMask?: boolean | undefined;
  /** Weight of log^2 Z in the loss; the config's without it. */
  readonly zLoss?: number | undefined;
  /** What the backward pass computes again. @default {"none"} */
  readonly recompute?: Recompute | undefined;
  /** Stops between parts of the batch. */
  readonly signal?: AbortSignal | undefined;
}

/** Rows that go forward and backward at once, unless one sequence is longer. */
const MOST_ROWS = 4096;

/**
 * Computes the gradients of loss = ce + z (the mean over the targets that count) for every weight, as
 * tensors under Hugging Face's names and in its order of rows, and hands them to `take`.
 *
 * @throws {ConfigError} When the batch has no targets, or documents are asked for that it does not have.
 * @throws {BackendError} When the backend has too little memory.
 */
export async function probeGradients(
  backend: Backend,
  source: DecoderSource,
  { take, ...options }: ProbeGradientsOptions & {
    readonly take: (tensors: readonly TensorSource[]) => Promise<void>;
  },
): Promise<void> {
  const { batch, zLoss, recompute, signal } = options;
  const parts = trainBatches(batch, { documents: options.documentMask ?? false });
  const maxRows = Math.max(...parts.map((part) => part.tokens.length));
  const model = new TrainableModel(backend, source, { maxRows, recompute });
  try {
    await model.load(source);
    const count = parts.flatMap((part) => [...part.targets]).filter((id) => id >= 0).length;
    for (const [index, part] of parts.entries()) {
      signal?.throwIfAborted();
      model.forwardBackward(part, {
        weightScale: 1 / Math.max(count, 1),
        accumulate: index > 0,
        zLoss,
      });
    }
    await take(model.parameters.map((parameter) => gradientTensor(model, parameter)));
  } finally {
    model.close();
  }
}

/** The targets of a batch. @throws {ConfigError} When it has none: no loss, no gradients. */
export function targetsOf({ targets }: ProbeBatch): NonNullable<ProbeBatch["targets"]> {
  if (targets !== undefined) return targets;
  throw new ConfigError('Cannot compute gradients: the batch has no "targets"');
}

/** The batch in parts of whole sequences. */
function trainBatches(batch: ProbeBatch, { documents }: { documents: boolean }): TrainBatch[] {
  const { inputIds, positionIds } = batch;
  const targets = targetsOf(batch);
  const length = inputIds[0]!.length;
  // Without documents a row is one.
  const spans = documents
    ? documentSpans(batch)
    : inputIds.map((_, row) => ({ row, start: 0, end: length }));
  const starts = new Int32Array(inputIds.length * length);
  for (const { row, start, end } of spans) {
    starts.fill(row * length + start, row * length + start, row * length + end);
  }
  const together = Math.max(1, Math.floor(MOST_ROWS / length));
  const parts: TrainBatch[] = [];
  for (let first = 0; first < inputIds.length; first += together) {
    const last = Math.min(first + together, inputIds.length);
    const flat = (rows: readonly (readonly number[])[]) =>
      Int32Array.from(rows.slice(first, last).flat());
    const begin = starts.subarray(first * length, last * length);
    parts.push({
      sequences: last - first,
      length,
      tokens: flat(inputIds),
      targets: flat(targets),
      starts: begin.map((start) => start - first * length),
      positions: positionIds === undefined
        ? begin.map((start, row) => first * length + row - start)
        : flat(positionIds),
    });
  }
  return parts;
}

/** A gradient as Hugging Face would name and order it. */
function gradientTensor(model: TrainableModel, parameter: Parameter): TensorSource {
  const { spec } = parameter;
  const { names, shape, ropeHeads } = spec;
  return {
    name: names.huggingFace,
    dtype: "f32",
    shape,
    data: () => {
      const bytes = new Uint8Array(model.gradient(parameter).buffer);
      if (ropeHeads === 0 || model.ropeLayout === "half") return [bytes];
      const rowBytes = 4 * shape[1]!;
      return reorderRows([bytes], { headDim: model.config.headDim, rowBytes, to: "half" });
    },
  };
}
