/**
 * The published Llamas: LLaMA 1, Llama 2, TinyLlama, Llama 3, 3.1 and 3.2, each by its difference
 * from a relative.
 *
 * Sources: LLaMA (arXiv:2302.13971, table 2 and section 2.3), Llama 2 (arXiv:2307.09288, section
 * 2.2), Code Llama for the 34B's shapes (arXiv:2308.12950), TinyLlama (arXiv:2401.02385), Llama 3
 * (arXiv:2407.21783, table 3 and section 3.4), the models' public configs.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";
import type { Llama3RopeScaling } from "./rope_scaling.ts";
import { type Preset, vary } from "./preset.ts";
import type { Recipe } from "./recipe.ts";

/** `4M` tokens: 2048 sequences of 2048. */
const FOUR_MILLION = 2 ** 22;

/** Width, blocks, query heads, key/value heads, feed-forward width. */
type Sizes = readonly [number, number, number, number, number];

function sizes([width, blocks, heads, kvHeads, feedForward]: Sizes): Partial<ModelConfig> {
  return {
    hiddenSize: width,
    numHiddenLayers: blocks,
    numAttentionHeads: heads,
    numKeyValueHeads: kvHeads,
    headDim: width / heads,
    intermediateSize: feedForward,
  };
}

const LLAMA1_RECIPE: Recipe = {
  optimizer: "adamw",
  lr: 3e-4,
  minLr: 3e-5,
  warmup: 2000,
  hold: 0,
  schedule: "cosine",
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 0.1,
  clip: 1,
  seqLen: 2048,
  batchTokens: FOUR_MILLION,
  batchRamp: [],
  tokens: 1e12,
  dropout: 0,
  documentMask: false,
  unpublished: ["eps"],
};

const llama1_7b = (): Preset => ({
  name: "llama1-7b",
  summary: "LLaMA 7B",
  vocabulary: "fixed",
  config: {
    architecture: "llama",
    vocabSize: 32000,
    hiddenSize: 4096,
    intermediateSize: 11008,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 32,
    headDim: 128,
    maxPositionEmbeddings: 2048,
    norm: "rms",
    normEps: 1e-6,
    ropeTheta: 10000,
    tieWordEmbeddings: false,
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    bosTokenId: 1,
    eosTokenIds: [2],
  },
  recipe: LLAMA1_RECIPE,
});

const llama1_13b = (): Preset =>
  vary(llama1_7b(), {
    name: "llama1-13b",
    summary: "LLaMA 13B",
    config: sizes([5120, 40, 40, 40, 13824]),
  });

const llama1_33b = (): Preset =>
  vary(llama1_7b(), {
    name: "llama1-33b",
    summary: "LLaMA 33B",
    config: sizes([6656, 60, 52, 52, 17920]),
    recipe: { lr: 1.5e-4, minLr: 1.5e-5, tokens: 1.4e12 },
  });

const llama1_65b = (): Preset =>
  vary(llama1_33b(), {
    name: "llama1-65b",
    summary: "LLaMA 65B",
    config: { ...sizes([8192, 80, 64, 64, 22016]), normEps: 1e-5 },
  });

const llama2_7b = (): Preset =>
  vary(llama1_7b(), {
    name: "llama2-7b",
    summary: "Llama 2 7B: twice the context and the tokens of LLaMA",
    config: { maxPositionEmbeddings: 4096, normEps: 1e-5 },
    recipe: { eps: 1e-5, seqLen: 4096, tokens: 2e12, unpublished: [] },
  });

const llama2_13b = (): Preset =>
  vary(llama2_7b(), {
    name: "llama2-13b",
    summary: "Llama 2 13B",
    config: sizes([5120, 40, 40, 40, 13824]),
  });

const llama2_34b = (): Preset =>
  vary(llama2_7b(), {
    name: "llama2-34b",
    summary: "Llama 2 34B: grouped-query attention",
    config: sizes([8192, 48, 64, 8, 22016]),
    recipe: { lr: 1.5e-4, minLr: 1.5e-5 },
  });

const llama2_70b = (): Preset =>
  vary(llama2_34b(), {
    name: "llama2-70b",
    summary: "Llama 2 70B: grouped-query attention",
    config: sizes([8192, 80, 64, 8, 28672]),
  });

const tinyllama = (): Preset =>
  vary(llama2_7b(), {
    name: "tinyllama-1.1b",
    summary: "TinyLlama 1.1B: a small model on three trillion tokens",
    config: { ...sizes([2048, 22, 32, 4, 5632]), maxPositionEmbeddings: 2048 },
    recipe: {
      lr: 4e-4,
      minLr: 4e-5,
      eps: 1e-8,
      seqLen: 2048,
      batchTokens: 2 ** 21,
      tokens: 3e12,
    },
  });

const llama3_8b = (): Preset =>
  vary(llama2_7b(), {
    name: "llama3-8b",
    summary: "Llama 3 8B: byte-level vocabulary of 128,256, grouped-query attention",
    config: {
      ...sizes([4096, 32, 32, 8, 14336]),
      vocabSize: 128256,
      maxPositionEmbeddings: 8192,
      ropeTheta: 500000,
      bosTokenId: 128000,
      eosTokenIds: [128001],
    },
    recipe: {
      lr: 3e-4,
      minLr: 3e-6,
      warmup: 8000,
      eps: 1e-8,
      seqLen: 4096,
      // Doubled with the sequence after 252M tokens, and again after 2.87T (section 3.4.1).
      batchTokens: FOUR_MILLION,
      batchRamp: [
        { fromStep: 60, batchTokens: 2 * FOUR_MILLION, seqLen: 8192 },
        { fromStep: 342_161, batchTokens: 4 * FOUR_MILLION, seqLen: 8192 },
      ],
      tokens: 15e12,
      documentMask: true,
      unpublished: ["minLr", "warmup", "eps", "seqLen", "batchTokens", "batchRamp"],
    },
  });

const llama3_70b = (): Preset =>
  vary(llama3_8b(), {
    name: "llama3-70b",
    summary: "Llama 3 70B",
    config: sizes([8192, 80, 64, 8, 28672]),
    recipe: { lr: 1.5e-4, minLr: 1.5e-6 },
  });

/** Llama 3.1's stretched rotary positions; 3.2 stretches by 32. */
const stretched = (factor: number): Llama3RopeScaling => ({
  type: "llama3",
  factor,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
});
const LONG: Partial<ModelConfig> = {
  maxPositionEmbeddings: 131072,
  ropeScaling: stretched(8),
};

const llama3_1_8b = (): Preset =>
  vary(llama3_8b(), {
    name: "llama3.1-8b",
    summary: "Llama 3.1 8B: Llama 3 with a context of 131,072",
    config: LONG,
  });

const llama3_1_70b = (): Preset =>
  vary(llama3_70b(), { name: "llama3.1-70b", summary: "Llama 3.1 70B", config: LONG });

const llama3_1_405b = (): Preset =>
  vary(llama3_1_70b(), {
    name: "llama3.1-405b",
    summary: "Llama 3.1 405B",
    config: sizes([16384, 126, 128, 8, 53248]),
    recipe: { lr: 8e-5, minLr: 8e-7, tokens: 15.6e12, unpublished: ["eps"] },
  });

const llama3_2_1b = (): Preset =>
  vary(llama3_1_8b(), {
    name: "llama3.2-1b",
    summary: "Llama 3.2 1B: tied embeddings",
    config: {
      ...sizes([2048, 16, 32, 8, 8192]),
      ropeScaling: stretched(32),
      tieWordEmbeddings: true,
    },
    recipe: {
      tokens: 9e12,
      unpublished: ["lr", "minLr", "warmup", "eps", "seqLen", "batchTokens", "batchRamp"],
    },
  });

const llama3_2_3b = (): Preset =>
  vary(llama3_2_1b(), {
    name: "llama3.2-3b",
    summary: "Llama 3.2 3B: tied embeddings",
    config: sizes([3072, 28, 24, 8, 8192]),
  });

/** The published Llamas, oldest and smallest first. */
export const LLAMA_PRESETS: readonly (() => Preset)[] = [
  llama1_7b,
  llama1_13b,
  llama1_33b,
  llama1_65b,
  llama2_7b,
  llama2_13b,
  llama2_34b,
  llama2_70b,
  tinyllama,
  llama3_8b,
  llama3_70b,
  llama3_1_8b,
  llama3_1_70b,
  llama3_1_405b,
  llama3_2_1b,
  llama3_2_3b,
];
