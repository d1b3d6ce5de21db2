/** The runs of tests/golden/optim, as settings and batches. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { StepOptions } from "../../lib/data/batches.ts";
import type { TrainBatch } from "../../lib/model/training/trainable.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { golden } from "../fixtures.ts";
import { batchOf } from "../model/training/golden_training.ts";

/** Sequences and the tokens that follow. */
export interface GivenBatch {
  /** Tokens [B][T]. */
  readonly input_ids: readonly (readonly number[])[];
  /** Targets [B][T]; -100 does not count. */
  readonly targets: readonly (readonly number[])[];
}

/** Reads a file of the optimizers' runs. */
export function optimizerJson<T>(name: string): T {
  return JSON.parse(readFileSync(golden(`optim/${name}`), "utf8")) as T;
}

/** The run of AdamW: 20 steps of four sequences, here at once. */
export const ADAMW = {
  ...{ optimizer: "adamw", lr: 0.003, minLr: 0.0003, warmup: 4, hold: 0, schedule: "cosine" },
  ...{ decay: 0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1, updateClip: 1 },
  ...{ recompute: "none", dtype: "f32", zLoss: 0, dropout: 0, steps: 20, seed: 0, microBatch: 4 },
  ...{ skipBatches: [], skipSpikes: false, zero: 1, reduce: "ranks" },
} as unknown as TrainSettings;

/** The run of Adafactor: `min(1e-2, 1/sqrt(k))`, at the peak for 10,000 steps, which 20 never leave. */
export const ADAFACTOR = {
  ...ADAMW,
  ...{ optimizer: "adafactor", lr: 0.01, minLr: 0, warmup: 0, hold: 10_000 },
  ...{ schedule: "inverse-sqrt", beta2: "1-k^-0.8", weightDecay: "lr^2", zLoss: 1e-4 },
} as unknown as TrainSettings;

/** Three steps of AdamW's, one sequence at once. */
export const SHORT_ADAMW: TrainSettings = { ...ADAMW, steps: 3, microBatch: 1 };

/** Its batches of four sequences. */
export const BATCHES: readonly GivenBatch[] = optimizerJson("adamw_batches.json");

/** Micro-batches of given batches, which come in turn. */
export function dataOf(
  batches: readonly GivenBatch[],
): { readonly step: (step: number, options: StepOptions) => TrainBatch[] } {
  return {
    step(step, { microBatch, part }) {
      const { input_ids, targets } = batches[step % batches.length]!;
      return [part!(input_ids.length)].flat().map(({ first, count }) => {
        assert.ok(count <= microBatch);
        const end = first + count;
        return batchOf({ tokens: input_ids.slice(first, end), targets: targets.slice(first, end) });
      });
    },
  };
}
