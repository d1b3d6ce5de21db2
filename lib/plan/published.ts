/**
 * Runs whose speed papers have published, each as the step that its ranks computed.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import type { StepShape } from "./step_shape.ts";

/** What a paper says that its run reached. */
export interface PublishedRun {
  /** The preset, or the name of the model where it is none of ours. */
  readonly preset: string;
  /** The model, where no preset is. */
  readonly model?: ModelConfig;
  /** The devices. */
  readonly hardware: string;
  /** How many of them. */
  readonly devices: number;
  /** Tokens per second of one device, where the paper says it. */
  readonly tokensPerSecond?: number;
  /** Operations per second of one device, where the paper says that. */
  readonly flops?: number;
  /** Seconds of a step, where the paper says that. */
  readonly stepSeconds?: number;
  /** What the paper counts in. */
  readonly unit: "tokens/s/device" | "FLOP/s/device" | "MFU" | "s/step";
  /** Where. */
  readonly source: string;
  /** How the devices shared the step. */
  readonly step: Omit<StepShape, "model">;
  /** What of the step the paper does not say. */
  readonly assumed: readonly string[];
}

const LLAMA3_STEP: PublishedRun["step"] = {
  seqLen: 8192,
  sequences: 2048,
  microBatch: 1,
  recompute: "selective",
  mesh: { data: 1, shard: 128, tensor: 8, pipeline: 16 },
  // "For model shards, we do not reshard after forward computation", and gradients are summed over
  // micro-batches before they are scattered: section 3.3.2.
  zero: 1,
  chunks: 8,
};

const LLAMA3: PublishedRun = {
  preset: "llama3.1-405b",
  hardware: "h100-80gb",
  devices: 16_384,
  flops: 400e12,
  unit: "FLOP/s/device",
  source: "Grattafiori et al. 2024, table 4",
  step: LLAMA3_STEP,
  assumed: [
    "8 stages of one layer on each rank of the pipeline",
    "micro-batches of 1",
    "norms and activations computed again, so that all fits",
  ],
};

const PALM: PublishedRun = {
  preset: "palm-540b",
  hardware: "tpu-v4",
  devices: 6144,
  tokensPerSecond: 238_300 / 6144,
  unit: "MFU",
  source: "Chowdhery et al. 2022, section 4",
  step: {
    seqLen: 2048,
    sequences: 2048,
    microBatch: 4,
    recompute: "full",
    mesh: { data: 2, shard: 256, tensor: 12, pipeline: 1 },
    zero: 3,
    chunks: 1,
  },
  assumed: ["one micro-batch for each rank"],
};

/** Runs whose speed was published, to which the constants of chips are fitted. */
export const PUBLISHED_RUNS: readonly PublishedRun[] = [
  {
    preset: "llama1-65b",
    hardware: "a100-80gb",
    devices: 2048,
    tokensPerSecond: 380,
    unit: "tokens/s/device",
    source: "Touvron et al. 2023, section 2.4",
    step: {
      seqLen: 2048,
      sequences: 2048,
      microBatch: 8,
      recompute: "selective",
      mesh: { data: 1, shard: 256, tensor: 8, pipeline: 1 },
      zero: 3,
      chunks: 1,
    },
    assumed: [
      "tensor=8, as its published weights are cut",
      "shard=256 with ZeRO 3, one micro-batch",
    ],
  },
  {
    preset: "tinyllama-1.1b",
    hardware: "a100-40gb",
    devices: 16,
    tokensPerSecond: 24_000,
    unit: "tokens/s/device",
    source: "Zhang et al. 2024, section 2.3",
    step: {
      seqLen: 2048,
      sequences: 1024,
      microBatch: 8,
      recompute: "none",
      mesh: { data: 1, shard: 16, tensor: 1, pipeline: 1 },
      zero: 3,
      chunks: 1,
    },
    assumed: ["nodes of 8 with 200 Gb/s for each device"],
  },
  LLAMA3,
  {
    ...LLAMA3,
    devices: 8192,
    flops: 430e12,
    step: { ...LLAMA3_STEP, mesh: { data: 1, shard: 64, tensor: 8, pipeline: 16 } },
  },
  PALM,
];

/** What was published of a preset on a kind of device. */
export function publishedRun(
  preset: string | undefined,
  hardware: string,
): PublishedRun | undefined {
  return PUBLISHED_RUNS.find((run) => run.preset === preset && run.hardware === hardware);
}

/** A run against one of its parts. */
export interface PublishedScaling {
  /** The whole. */
  readonly run: PublishedRun;
  /** The part, as a step. */
  readonly part: PublishedRun["step"];
  /** Tokens per second of the whole over those of the part. */
  readonly speedup: number;
  /** Where. */
  readonly source: string;
}

/** PaLM's two pods against one with its own share of the batch. */
export const TWO_PODS: PublishedScaling = {
  run: PALM,
  part: {
    ...PALM.step,
    sequences: PALM.step.sequences / 2,
    mesh: { ...PALM.step.mesh, data: 1 },
  },
  speedup: 1.95,
  source: "Chowdhery et al. 2022, section 4",
};
