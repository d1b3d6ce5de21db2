/**
 * Llamas for people with one computer, whose vocabulary is the tokenizer's.
 *
 * The shapes of 15M, 42M and 110M are those of llama2.c's TinyStories models, which other programs
 * know too; `debug` trains in seconds. The recipes follow llama2.c's (lr 5e-4, AdamW 0.9/0.95,
 * decay 0.1) with LLaMA's cosine to 10%, and 20 tokens per parameter (arXiv:2203.15556).
 *
 * @module
 */

import { type Preset, vary } from "./preset.ts";

const llama_15m = (): Preset => ({
  name: "llama-15m",
  summary: "a Llama of 15M parameters (with 32,000 tokens): stories in an hour or two",
  vocabulary: "from tokenizer",
  config: {
    architecture: "llama",
    vocabSize: 32000,
    hiddenSize: 288,
    intermediateSize: 768,
    numHiddenLayers: 6,
    numAttentionHeads: 6,
    numKeyValueHeads: 6,
    headDim: 48,
    maxPositionEmbeddings: 256,
    norm: "rms",
    normEps: 1e-5,
    ropeTheta: 10000,
    tieWordEmbeddings: true,
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    bosTokenId: 1,
    eosTokenIds: [2],
  },
  recipe: {
    optimizer: "adamw",
    lr: 5e-4,
    minLr: 5e-5,
    warmup: 200,
    hold: 0,
    schedule: "cosine",
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weightDecay: 0.1,
    clip: 1,
    seqLen: 256,
    batchTokens: 32768,
    batchRamp: [],
    tokens: 300e6,
    dropout: 0,
    documentMask: false,
    unpublished: [],
  },
});

const llama_42m = (): Preset =>
  vary(llama_15m(), {
    name: "llama-42m",
    summary: "a Llama of 42M parameters (with 32,000 tokens)",
    config: {
      hiddenSize: 512,
      intermediateSize: 1376,
      numHiddenLayers: 8,
      numAttentionHeads: 8,
      numKeyValueHeads: 8,
      headDim: 64,
      maxPositionEmbeddings: 1024,
    },
    recipe: { seqLen: 1024, batchTokens: 65536, tokens: 840e6 },
  });

const llama_110m = (): Preset =>
  vary(llama_42m(), {
    name: "llama-110m",
    summary: "a Llama of 110M parameters (with 32,000 tokens)",
    config: {
      hiddenSize: 768,
      intermediateSize: 2048,
      numHiddenLayers: 12,
      numAttentionHeads: 12,
      numKeyValueHeads: 12,
    },
    recipe: { batchTokens: 131072, tokens: 2.2e9 },
  });

const debug = (): Preset =>
  vary(llama_15m(), {
    name: "debug",
    summary: "a Llama of 125K parameters (with 512 tokens) that trains in seconds",
    config: {
      vocabSize: 512,
      hiddenSize: 64,
      intermediateSize: 176,
      numHiddenLayers: 2,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      headDim: 16,
    },
    recipe: {
      lr: 3e-3,
      minLr: 3e-4,
      warmup: 20,
      seqLen: 64,
      batchTokens: 1024,
      tokens: 204_800,
    },
  });

/** Small Llamas, smallest first. */
export const SMALL_PRESETS: readonly (() => Preset)[] = [debug, llama_15m, llama_42m, llama_110m];
