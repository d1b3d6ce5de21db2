/**
 * What a decoder is made of: the one config that every format is read into and written from.
 *
 * Names are those of Hugging Face configs in camelCase. LLaMA 1 to 3.2, TinyLlama and PaLM differ
 * only in these values.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { countParameters } from "./parameters.ts";
import { checkRopeScaling, type RopeScaling } from "./rope_scaling.ts";

/** The families of decoders that are known. */
export type Architecture = "llama" | "palm";

/** Everything that decides a decoder's shapes and formulas. */
export interface ModelConfig {
  /** Which family it belongs to; decides names and what other formats can hold it. */
  readonly architecture: Architecture;
  /** Rows of the embedding. */
  readonly vocabSize: number;
  /** Width of the residual stream (d). */
  readonly hiddenSize: number;
  /** Width of the feed-forward layer. */
  readonly intermediateSize: number;
  /** Blocks. */
  readonly numHiddenLayers: number;
  /** Query heads. */
  readonly numAttentionHeads: number;
  /** Key and value heads: as many as query heads (MHA), fewer (GQA) or one (MQA). */
  readonly numKeyValueHeads: number;
  /** Width of a head; `hiddenSize / numAttentionHeads` in LLaMA, 256 in PaLM. */
  readonly headDim: number;
  /** Longest sequence that the model is meant for. */
  readonly maxPositionEmbeddings: number;
  /** RMSNorm, or LayerNorm with a scale and no bias. */
  readonly norm: "rms" | "layer";
  /** Added to the variance inside the norm. */
  readonly normEps: number;
  /** Base of the rotary frequencies: `theta^(-2i/headDim)`. */
  readonly ropeTheta: number;
  /** How the rotary frequencies are stretched; absent where they are not. */
  readonly ropeScaling?: RopeScaling;
  /** Whether the head multiplies by the embedding. */
  readonly tieWordEmbeddings: boolean;
  /** `y = x + ffn(norm(x)) + attention(norm(x))` (PaLM) instead of one after the other. */
  readonly parallelBlock: boolean;
  /** What the logits are multiplied by: 1 in LLaMA, `1/sqrt(hiddenSize)` in PaLM. */
  readonly logitsScale: number;
  /** Weight of `log^2 Z` in the training loss: 0 in LLaMA, 1e-4 in PaLM. */
  readonly zLoss: number;
  /** Token that begins a text. */
  readonly bosTokenId?: number;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly number[];
}

/** Where a config came from, for messages. */
export interface ConfigSource {
  /** The file (or preset), as the user named it. */
  readonly file: string;
  /** What the source calls a field, where that is not the field's name in snake case. */
  readonly keys?: Readonly<Partial<Record<keyof ModelConfig, string>>>;
}

/** Fields that count something: sizes of the model, all of them positive integers. */
export type CountField =
  | "vocabSize"
  | "hiddenSize"
  | "intermediateSize"
  | "numHiddenLayers"
  | "numAttentionHeads"
  | "numKeyValueHeads"
  | "headDim"
  | "maxPositionEmbeddings";

/** Largest counts that are believed: an order of magnitude above anything published. */
const LARGEST: Readonly<Record<CountField, number>> = {
  vocabSize: 2 ** 24,
  hiddenSize: 2 ** 20,
  intermediateSize: 2 ** 22,
  numHiddenLayers: 2 ** 13,
  numAttentionHeads: 2 ** 14,
  numKeyValueHeads: 2 ** 14,
  headDim: 2 ** 13,
  maxPositionEmbeddings: 2 ** 28,
};

/** Most parameters that a config may describe; byte counts stay exact in a double. */
const MOST_PARAMETERS = 2 ** 46;

/** `numHiddenLayers` as `num_hidden_layers`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

type Refuse = (field: keyof ModelConfig, wanted: string, is?: unknown) => never;

/**
 * Refuses a config that no decoder can be built from, and returns it otherwise.
 *
 * @throws {ConfigError} Naming the source, its key, the value and what was wanted.
 */
export function checkConfig(config: ModelConfig, source: ConfigSource): ModelConfig {
  const key = (field: keyof ModelConfig) => source.keys?.[field] ?? snakeCase(field);
  const refuse: Refuse = (field, wanted, is = config[field]) => {
    throw new ConfigError(
      `Cannot use ${quotedPath(source.file)}: "${key(field)}" is ${is}, ${wanted} was wanted`,
    );
  };
  checkCounts(config, refuse);
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0) {
    const heads = `"${key("numAttentionHeads")}" (${config.numAttentionHeads})`;
    refuse("numKeyValueHeads", `a divisor of ${heads}`);
  }
  checkConstants(config, refuse);
  checkRopeScaling(config.ropeScaling, {
    file: source.file,
    ropeTheta: config.ropeTheta,
    most: LARGEST.maxPositionEmbeddings,
  });
  checkTokens(config, refuse);
  const parameters = countParameters(config).total;
  if (parameters > MOST_PARAMETERS) {
    throw new ConfigError(
      `Cannot use ${quotedPath(source.file)}: its sizes make ${parameters} parameters, ` +
        `at most ${MOST_PARAMETERS} was wanted`,
    );
  }
  return config;
}

function checkCounts(config: ModelConfig, refuse: Refuse): void {
  for (const [field, largest] of Object.entries(LARGEST) as [CountField, number][]) {
    const value = config[field];
    if (!Number.isInteger(value) || value < 1 || value > largest) {
      refuse(field, `a whole number from 1 to ${largest}`);
    }
  }
  if (config.headDim % 2 !== 0) {
    refuse("headDim", "an even number (rotary positions turn pairs)");
  }
}

const isPositive = (value: number) => value > 0 && Number.isFinite(value);

function checkConstants(config: ModelConfig, refuse: Refuse): void {
  const { normEps, ropeTheta, logitsScale, zLoss } = config;
  // Kernels take eps in float32, where a smaller one would be 0.
  if (!(normEps >= 1e-30 && normEps < 1)) refuse("normEps", "a number from 1e-30 to below 1");
  if (!isPositive(ropeTheta)) refuse("ropeTheta", "a number above 0");
  if (!isPositive(logitsScale)) refuse("logitsScale", "a number above 0");
  if (zLoss !== 0 && !isPositive(zLoss)) refuse("zLoss", "0 or a number above it");
}

function checkTokens(config: ModelConfig, refuse: Refuse): void {
  const wanted = `a token id below the vocabulary's size (${config.vocabSize})`;
  const isToken = (id: number) => Number.isInteger(id) && id >= 0 && id < config.vocabSize;
  const { bosTokenId, eosTokenIds } = config;
  if (bosTokenId !== undefined && !isToken(bosTokenId)) refuse("bosTokenId", wanted);
  for (const id of eosTokenIds) if (!isToken(id)) refuse("eosTokenIds", wanted, id);
}
