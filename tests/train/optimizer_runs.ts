/** The runs of tests/golden/optim, as settings and batches. */

import { readFileSync } from "node:fs";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { golden } from "../fixtures.ts";
import type { ReplicaBatch } from "./replica_program.ts";

/** Reads a file of the optimizers' runs. */
export function optimizerJson<T>(name: string): T {
  return JSON.parse(readFileSync(golden(`optim/${name}`), "utf8")) as T;
}

/** The settings of the run of AdamW: three steps of it, one sequence at once. */
export const ADAMW = {
  ...{ optimizer: "adamw", lr: 0.003, minLr: 0.0003, warmup: 4, hold: 0, schedule: "cosine" },
  ...{ decay: 0, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1, updateClip: 1 },
  ...{ recompute: "none", dtype: "f32", zLoss: 0, dropout: 0, steps: 3, seed: 0, microBatch: 1 },
  ...{ skipBatches: [], skipSpikes: false, zero: 1, reduce: "ranks" },
} as unknown as TrainSettings;

/** Its batches of four sequences. */
export const BATCHES: readonly ReplicaBatch[] = optimizerJson("adamw_batches.json");
