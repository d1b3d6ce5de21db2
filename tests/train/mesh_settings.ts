/** Settings of steps under many meshes. */

import type { TrainSettings } from "../../lib/train/settings.ts";

/** Without a first decay AdamW's first moment is the gradient; nothing is clipped. */
export const SETTINGS: TrainSettings = {
  ...{ optimizer: "adamw", lr: 0.001, minLr: 0.001, warmup: 0, hold: 0, schedule: "constant" },
  ...{ decay: 0, beta1: 0, beta2: 0.95, eps: 1e-8, weightDecay: 0, clip: 0, updateClip: 1 },
  ...{ zLoss: 0.001, dropout: 0.1, steps: 1, seed: 3, microBatch: 1, skipBatches: [] },
  ...{ skipSpikes: false, dtype: "f32", recompute: "none", seqLen: 12, batchTokens: 96 },
  ...{ batchRamp: [], zero: 1, reduce: "ranks", pipelineSchedule: "1f1b", stagesPerRank: 2 },
} as unknown as TrainSettings;
