/**
 * PaLM's three sizes and two small ones of the same build.
 *
 * Parallel blocks with one LayerNorm (scale, no bias), multi-query attention, SwiGLU of width 4d,
 * tied embeddings, logits times `1/sqrt(d)`. Head size 256 and `ffn = 4d` reproduce the published
 * counts (8.63, 62.50 and 540.35 billion) exactly; `numAttentionHeads * 256` is not d in the 540B.
 * Source: PaLM (arXiv:2204.02311, sections 2 and 5). The norm's eps is not in the paper.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";
import { type Preset, vary } from "./preset.ts";

const SEQUENCE = 2048;

/** Width, blocks, heads, head size; what follows from them too. */
type Sizes = readonly [number, number, number, number];

function sizes([width, blocks, heads, headSize]: Sizes): Partial<ModelConfig> {
  return {
    hiddenSize: width,
    intermediateSize: 4 * width,
    numHiddenLayers: blocks,
    numAttentionHeads: heads,
    headDim: headSize,
    logitsScale: 1 / Math.sqrt(width),
  };
}

const palm_8b = (): Preset => ({
  name: "palm-8b",
  summary: "PaLM 8B: parallel blocks, multi-query attention",
  vocabulary: "fixed",
  config: {
    architecture: "palm",
    vocabSize: 256000,
    hiddenSize: 4096,
    intermediateSize: 16384,
    numHiddenLayers: 32,
    numAttentionHeads: 16,
    numKeyValueHeads: 1,
    headDim: 256,
    maxPositionEmbeddings: SEQUENCE,
    norm: "layer",
    normEps: 1e-5,
    ropeTheta: 10000,
    tieWordEmbeddings: true,
    parallelBlock: true,
    logitsScale: 1 / 64,
    zLoss: 1e-4,
    bosTokenId: 1,
    eosTokenIds: [2],
  },
  recipe: {
    optimizer: "adafactor",
    lr: 1e-2,
    minLr: 0,
    warmup: 0,
    hold: 10_000,
    schedule: "inverse-sqrt",
    beta1: 0.9,
    beta2: "1-k^-0.8",
    eps: 1e-30,
    weightDecay: "lr^2",
    clip: 1,
    seqLen: SEQUENCE,
    batchTokens: 256 * SEQUENCE,
    batchRamp: [{ fromStep: 115_000, batchTokens: 512 * SEQUENCE }],
    tokens: 780e9,
    dropout: 0,
    documentMask: false,
    // The paper gives the 540B's ramp by step, and says that the others' are similar.
    unpublished: ["eps", "batchRamp"],
  },
});

const palm_62b = (): Preset =>
  vary(palm_8b(), {
    name: "palm-62b",
    summary: "PaLM 62B",
    config: sizes([8192, 64, 32, 256]),
    recipe: {
      batchTokens: 512 * SEQUENCE,
      batchRamp: [{ fromStep: 115_000, batchTokens: 1024 * SEQUENCE }],
      tokens: 795e9,
    },
  });

const palm_540b = (): Preset =>
  vary(palm_62b(), {
    name: "palm-540b",
    summary: "PaLM 540B",
    config: sizes([18432, 118, 48, 256]),
    recipe: {
      batchRamp: [
        { fromStep: 50_000, batchTokens: 1024 * SEQUENCE },
        { fromStep: 115_000, batchTokens: 2048 * SEQUENCE },
      ],
      tokens: 780e9,
      unpublished: ["eps"],
    },
  });

/** Small PaLMs take a head size of 64: 256 would leave three heads. */
const palm_110m = (): Preset =>
  vary(palm_8b(), {
    name: "palm-110m",
    summary: "a PaLM of 108M parameters (with 32,000 tokens)",
    vocabulary: "from tokenizer",
    config: { ...sizes([768, 10, 12, 64]), vocabSize: 32000, maxPositionEmbeddings: 1024 },
    recipe: {
      // Held for a tenth of the run, as the 540B's is for 10,000 of 255,000 steps and a bit more.
      hold: 1000,
      seqLen: 1024,
      batchTokens: 131_072,
      batchRamp: [],
      tokens: 2.2e9,
      unpublished: [],
    },
  });

const palm_debug = (): Preset =>
  vary(palm_110m(), {
    name: "palm-debug",
    summary: "a PaLM of 152K parameters (with 512 tokens) that trains in seconds",
    config: { ...sizes([64, 2, 4, 16]), vocabSize: 512, maxPositionEmbeddings: 256 },
    recipe: { hold: 50, seqLen: 64, batchTokens: 1024, tokens: 204_800 },
  });

/** PaLMs, small ones first. */
export const PALM_PRESETS: readonly (() => Preset)[] = [
  palm_debug,
  palm_110m,
  palm_8b,
  palm_62b,
  palm_540b,
];
