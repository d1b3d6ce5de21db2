/**
 * The header of a llama2.c checkpoint as a config.
 *
 * @module
 */

import type { Llama2cFile } from "../formats/llama2c.ts";
import type { Llama2cHeader } from "../formats/llama2c_layout.ts";
import { checkConfig, type ConfigSource, type ModelConfig } from "./config.ts";

const KEYS: NonNullable<ConfigSource["keys"]> = {
  vocabSize: "vocab_size",
  hiddenSize: "dim",
  intermediateSize: "hidden_dim",
  numHiddenLayers: "n_layers",
  numAttentionHeads: "n_heads",
  numKeyValueHeads: "n_kv_heads",
  headDim: "dim / n_heads",
  maxPositionEmbeddings: "max_seq_len",
};

/**
 * Makes a config of a llama2.c header. What the header does not say is constant in `run.c`: eps
 * 1e-5, theta 10,000; a text ends at token 1 or 2.
 *
 * @throws {ConfigError} For a value out of range.
 */
export function parseLlama2cConfig(file: Pick<Llama2cFile, "path" | "header">): ModelConfig {
  const { header, path } = file;
  const tokens = [1, 2].filter((id) => id < header.vocabSize);
  return checkConfig({
    architecture: "llama",
    vocabSize: header.vocabSize,
    hiddenSize: header.dim,
    intermediateSize: header.hiddenDim,
    numHiddenLayers: header.layers,
    numAttentionHeads: header.heads,
    numKeyValueHeads: header.kvHeads,
    headDim: header.dim / header.heads,
    maxPositionEmbeddings: header.sequenceLength,
    norm: "rms",
    normEps: 1e-5,
    ropeTheta: 10000,
    tieWordEmbeddings: header.sharedClassifier,
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    ...(header.vocabSize > 1 ? { bosTokenId: 1 } : {}),
    eosTokenIds: tokens,
  }, { file: path, keys: KEYS });
}

/** The header of a legacy (version 0) file; eps, theta and the head's width are not in it. */
export function toLlama2cHeader(config: ModelConfig): Llama2cHeader {
  return {
    version: 0,
    dim: config.hiddenSize,
    hiddenDim: config.intermediateSize,
    layers: config.numHiddenLayers,
    heads: config.numAttentionHeads,
    kvHeads: config.numKeyValueHeads,
    vocabSize: config.vocabSize,
    sequenceLength: config.maxPositionEmbeddings,
    sharedClassifier: config.tieWordEmbeddings,
  };
}
