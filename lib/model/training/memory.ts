/**
 * The memory of training, planned from config and options alone, before any of it is taken.
 *
 * @module
 */

import type { ModelConfig } from "../config.ts";
import { aligned, plannedBytes } from "../memory_plan.ts";
import { trainBatchBytes } from "./batch.ts";
import { deviceRowsBytes } from "./device_rows.ts";
import { workingBytes } from "./block_run.ts";
import { trainingHeadBytes } from "./head.ts";
import { recordBytes, splitRecord } from "./kept.ts";
import { packedBytes } from "./parameters.ts";
import { heldLayers, keyValueCopies, partConfig, stagesOf } from "./parts.ts";
import { exchangeBytes, mostOwnRows } from "./row_exchange.ts";
import { planArenas } from "./slots.ts";
import { vocabularyHeadBytes } from "./vocabulary_head.ts";
import type { InFlight, PlanOptions, TrainingBytes } from "./trainable.ts";

/** How much a rank has on its way: one batch in all that it has, where options say nothing. */
export function inFlightOf(
  config: ModelConfig,
  { parts = {}, inFlight }: Pick<PlanOptions, "parts" | "inFlight">,
): InFlight {
  const heads = stagesOf(config, parts).filter(({ head }) => head).length;
  return inFlight ?? { layers: heldLayers(config, parts).length, heads, batches: 1 };
}

/** Names and bytes of the buffers of activations. */
export function activationSizes(
  whole: ModelConfig,
  options: PlanOptions,
): {
  readonly kept: Record<string, number>;
  readonly working: Record<string, number>;
  readonly head: Record<string, number>;
} {
  const { maxRows: rows, recompute = "none", dropout = 0, parts = {} } = options;
  const config = partConfig(whole, parts);
  const ranks = parts.tensor?.size ?? 1;
  const counts = { rows, ownRows: mostOwnRows(rows, ranks) };
  const split = splitRecord(recordBytes(config, counts), recompute);
  const inFlight = inFlightOf(whole, options);
  const kept: Record<string, number> = {};
  for (let layer = 0; layer < inFlight.layers; layer++) {
    for (const [name, bytes] of Object.entries(split.kept)) kept[`${layer}.${name}`] = bytes;
  }
  for (let head = 0; head < inFlight.heads; head++) {
    kept[`${head}.hidden_TD`] = 4 * counts.ownRows * config.hiddenSize;
  }
  const batches: Record<string, number> = {};
  for (let batch = 0; batch < inFlight.batches; batch++) {
    batches[`${batch}.batch`] = trainBatchBytes(config, rows);
  }
  const connected = parts.connected ?? false;
  const shared = {
    ...{ ranks, copies: keyValueCopies(whole, parts), connected },
    halved: options.dtype === "bf16",
  };
  const largestPart = Math.ceil(whole.vocabSize / ranks);
  const head = ranks === 1 ? trainingHeadBytes(config, rows) : vocabularyHeadBytes(config, {
    ...{ ...counts, largestPart, connected: connected ? ranks : 0 },
  });
  return {
    kept,
    working: {
      ...split.shared,
      ...workingBytes(config, { ...counts, drops: dropout > 0, recompute, ...shared }),
      ...batches,
    },
    head: inFlight.heads > 0 ? head : {},
  };
}

/**
 * Bytes of training by kind: 16 per parameter in f32 (weight, gradient, two moments), 2 more per
 * element of a matrix in bf16, and what the batch takes; of the rank that has `options.parts`.
 */
export function planTrainingBytes(config: ModelConfig, options: PlanOptions): TrainingBytes {
  const { parts } = options;
  const { whole, layouts } = planArenas(config, options);
  const shared = (parts?.tensor?.size ?? 1) > 1;
  const halved = options.dtype === "bf16";
  const sizes = activationSizes(config, options);
  const bytes = {
    weights: aligned(4 * layouts.weights.elements),
    gradients: aligned(4 * layouts.gradients.elements),
    moments: 2 * aligned(4 * whole.elements),
    compute: halved ? aligned(2 * layouts.weights.elements) : 0,
    packed: options.packWeights ? packedBytes(config, { elementBytes: halved ? 2 : 4, parts }) : 0,
    kept: plannedBytes(sizes.kept),
    working: plannedBytes(sizes.working),
    head: plannedBytes(sizes.head),
    exchange: shared ? tensorExchangeBytes(config, options) : 0,
  };
  return { ...bytes, total: Object.values(bytes).reduce((sum, kind) => sum + kind, 0) };
}

/** What rows on their way between tensor ranks take: outside the backend, or on connected GPUs. */
function tensorExchangeBytes(whole: ModelConfig, { maxRows, parts = {} }: PlanOptions): number {
  const { hiddenSize: width, numKeyValueHeads: K, headDim: E } = partConfig(whole, parts);
  if (!parts.connected) return exchangeBytes({ maxRows, width });
  const ranks = parts.tensor!.size;
  return deviceRowsBytes({
    ...{ ranks, copies: keyValueCopies(whole, parts), width, keyValues: 2 * K * E * width },
    ownRows: mostOwnRows(maxRows, ranks),
  });
}

/** The largest `maxRows` whose plan takes at most `bytes`; 0 where not even one row fits. */
export function mostTrainingRows(
  config: ModelConfig,
  options: Omit<PlanOptions, "maxRows"> & { readonly bytes: number },
): number {
  const fits = (maxRows: number) =>
    planTrainingBytes(config, { ...options, maxRows }).total <= options.bytes;
  if (!fits(1)) return 0;
  let [low, high] = [1, 2];
  while (fits(high)) [low, high] = [high, 2 * high];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
