/**
 * Meta's `params.json`.
 *
 * @module
 */

import type { ConfigSource, ModelConfig } from "./config.ts";
import type { Llama3RopeScaling } from "./rope_scaling.ts";
import { checkConfig } from "./config.ts";
import { ConfigFields } from "./config_fields.ts";
import { presetLike } from "./presets.ts";

/** What `params.json` does not say, and the weights do. */
export interface MetaWeights {
  /** The file, as the user named it. */
  readonly file: string;
  /** Rows of the embedding; `vocab_size` is -1 in LLaMA 1 and Llama 2. */
  readonly vocabSize: number;
  /** Whether there is no `output.weight`. */
  readonly tieWordEmbeddings: boolean;
}

const KEYS: NonNullable<ConfigSource["keys"]> = {
  hiddenSize: "dim",
  intermediateSize: "multiple_of",
  numHiddenLayers: "n_layers",
  numAttentionHeads: "n_heads",
  numKeyValueHeads: "n_kv_heads",
  maxPositionEmbeddings: "max_seq_len",
};

/** What other models' `params.json` say, and a Llama's does not. */
const FOREIGN = ["moe", "moe_args", "sliding_window", "quantization_args", "lora_args"] as const;

/** Meta's default of `max_seq_len`, for models that no preset knows. */
const MAX_SEQ_LEN = 2048;

/** Tokens of Llama 3's vocabulary, by which its files are told from those of the models before it. */
export const LLAMA3_VOCABULARY = 128256;
/** Those that begin and end a text: end of text, of message, of turn. */
const LLAMA3_TOKENS = { bosTokenId: 128000, eosTokenIds: [128001, 128008, 128009] };

/**
 * The feed-forward width by Meta's rule: two thirds of 4d, times `multiplier`, rounded up to a
 * multiple; `multipleOf * ceil(trunc(multiplier * trunc(8d / 3)) / multipleOf)`.
 *
 * Source: LLaMA (arXiv:2302.13971, section 2.2) and Meta's public model code.
 */
export function feedForwardSize(
  hiddenSize: number,
  rule: { readonly multipleOf: number; readonly multiplier?: number | undefined },
): number {
  const { multipleOf, multiplier = 1 } = rule;
  const width = Math.trunc(multiplier * Math.trunc((8 * hiddenSize) / 3));
  return multipleOf * Math.ceil(width / multipleOf);
}

/**
 * Reads a parsed `params.json`. Context, stretching of Llama 3.2 and ending tokens, which it does
 * not say, are those of the published model of the same sizes.
 *
 * @throws {ConfigError} Naming file, key, value and what was wanted.
 */
export function parseMetaParams(json: unknown, weights: MetaWeights): ModelConfig {
  const { file, vocabSize, tieWordEmbeddings } = weights;
  const fields = new ConfigFields(json, { file });
  for (const key of FOREIGN) if (fields.has(key)) fields.refuse(key, "none (Llama has none)");
  const numAttentionHeads = fields.integer("n_heads");
  if (numAttentionHeads < 1) fields.refuse("n_heads", "a whole number above 0");
  const hiddenSize = fields.integer("dim");
  if (hiddenSize % numAttentionHeads !== 0) {
    fields.refuse("dim", `a multiple of "n_heads" (${numAttentionHeads})`);
  }
  const stated = fields.integer("vocab_size", -1);
  if (stated !== -1 && stated !== vocabSize) {
    fields.refuse("vocab_size", `${vocabSize} (the embedding's rows) or -1`);
  }
  const sizes = {
    hiddenSize,
    intermediateSize: readFeedForwardSize(fields, hiddenSize),
    numHiddenLayers: fields.integer("n_layers"),
    numAttentionHeads,
    numKeyValueHeads: fields.integer("n_kv_heads", numAttentionHeads),
    normEps: fields.number("norm_eps", 1e-5),
    ropeTheta: fields.number("rope_theta", 10000),
  };
  const isStretched = fields.boolean("use_scaled_rope", false);
  const relative = presetLike(
    sizes,
    (config) => (config.ropeScaling !== undefined) === isStretched,
  );
  const factor = relative?.config.ropeScaling?.factor;
  const maxPositions = relative?.config.maxPositionEmbeddings ?? MAX_SEQ_LEN;
  return checkConfig({
    architecture: "llama",
    vocabSize,
    ...sizes,
    headDim: hiddenSize / numAttentionHeads,
    maxPositionEmbeddings: fields.integer("max_seq_len", maxPositions),
    norm: "rms",
    ...(isStretched ? { ropeScaling: readStretching(fields, factor) } : {}),
    tieWordEmbeddings,
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    ...tokensOf(vocabSize),
  }, { file, keys: KEYS });
}

function readFeedForwardSize(fields: ConfigFields, hiddenSize: number): number {
  const multipleOf = fields.integer("multiple_of");
  if (multipleOf < 1) fields.refuse("multiple_of", "a whole number above 0");
  const multiplier = fields.number("ffn_dim_multiplier", 1);
  if (multiplier <= 0) fields.refuse("ffn_dim_multiplier", "a number above 0");
  return feedForwardSize(hiddenSize, { multipleOf, multiplier });
}

/** Meta's code has Llama 3.1's constants; later files name two of them. */
function readStretching(fields: ConfigFields, factor = 8): Llama3RopeScaling {
  return {
    type: "llama3",
    factor: fields.number("rope_scaling_factor", factor),
    lowFreqFactor: 1,
    highFreqFactor: fields.number("rope_high_freq_factor", 4),
    originalMaxPositionEmbeddings: 8192,
  };
}

/** SentencePiece's usual ids, or those of Llama 3's vocabulary. */
function tokensOf(vocabSize: number): Pick<ModelConfig, "bosTokenId" | "eosTokenIds"> {
  if (vocabSize === LLAMA3_VOCABULARY) return LLAMA3_TOKENS;
  return vocabSize > 2 ? { bosTokenId: 1, eosTokenIds: [2] } : { eosTokenIds: [] };
}
