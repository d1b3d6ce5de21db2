/**
 * The metadata of a GGUF file as a config.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import {
  ggufBoolean,
  ggufFloat,
  ggufInteger,
  ggufIntegers,
  ggufString,
} from "../formats/gguf_values.ts";
import { checkConfig, type ConfigSource, type ModelConfig } from "./config.ts";
import { decimal, type GgufDescription, refuseKey } from "./gguf_description.ts";
import { readGgufRope } from "./gguf_rope.ts";

export type { GgufDescription } from "./gguf_description.ts";

const KEYS: NonNullable<ConfigSource["keys"]> = {
  vocabSize: "llama.vocab_size",
  hiddenSize: "llama.embedding_length",
  intermediateSize: "llama.feed_forward_length",
  numHiddenLayers: "llama.block_count",
  numAttentionHeads: "llama.attention.head_count",
  numKeyValueHeads: "llama.attention.head_count_kv",
  headDim: "llama.attention.key_length",
  maxPositionEmbeddings: "llama.context_length",
  normEps: "llama.attention.layer_norm_rms_epsilon",
  ropeTheta: "llama.rope.freq_base",
  bosTokenId: "tokenizer.ggml.bos_token_id",
  eosTokenIds: "tokenizer.ggml.eos_token_id",
};

/** Keys whose tokens end a text: of a text, of a turn, of a message. */
const END_KEYS = ["eos", "eot", "eom"].map((name) => `tokenizer.ggml.${name}_token_id`);

function needed(file: GgufDescription, key: string): number {
  return ggufInteger(file, key) ??
    refuseKey(file, { key, is: undefined, wanted: "a whole number" });
}

/**
 * Reads the config from a GGUF file's metadata. Tied embeddings show in the absence of
 * `output.weight`, Llama 3.1's stretching in the tensor `rope_freqs.weight`, whose values are
 * `ropeFactors`.
 *
 * @throws {ConfigError} For another architecture, a missing key or a value out of range.
 */
export function parseGgufConfig(
  file: GgufDescription,
  options: { readonly ropeFactors?: Float32Array | undefined } = {},
): ModelConfig {
  checkArchitecture(file);
  const hiddenSize = needed(file, "llama.embedding_length");
  const numAttentionHeads = needed(file, "llama.attention.head_count");
  if (numAttentionHeads < 1) {
    refuseKey(file, {
      key: "llama.attention.head_count",
      is: numAttentionHeads,
      wanted: "a whole number above 0",
    });
  }
  const headDim = readHeadDim(file, hiddenSize, numAttentionHeads);
  const ropeTheta = decimal(ggufFloat(file, "llama.rope.freq_base") ?? 10000);
  const eps = ggufFloat(file, "llama.attention.layer_norm_rms_epsilon");
  if (eps === undefined) {
    refuseKey(file, {
      key: "llama.attention.layer_norm_rms_epsilon",
      is: undefined,
      wanted: "a number",
    });
  }
  const bosTokenId = ggufInteger(file, "tokenizer.ggml.bos_token_id");
  const ends = END_KEYS.map((key) => ggufInteger(file, key)).filter((id) => id !== undefined);
  const context = needed(file, "llama.context_length");
  const ropeScaling = readGgufRope(file, { ...options, ropeTheta, headDim });
  return checkConfig({
    architecture: "llama",
    vocabSize: readVocabSize(file),
    hiddenSize,
    intermediateSize: needed(file, "llama.feed_forward_length"),
    numHiddenLayers: needed(file, "llama.block_count"),
    numAttentionHeads,
    numKeyValueHeads: readKvHeads(file) ?? numAttentionHeads,
    headDim,
    maxPositionEmbeddings: context,
    norm: "rms",
    normEps: decimal(eps),
    ropeTheta,
    ...(ropeScaling === undefined ? {} : { ropeScaling }),
    tieWordEmbeddings: !file.records.has("output.weight"),
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    ...(bosTokenId === undefined ? {} : { bosTokenId }),
    eosTokenIds: [...new Set(ends)],
  }, { file: file.path, keys: KEYS });
}

function checkArchitecture(file: GgufDescription): void {
  const architecture = ggufString(file, "general.architecture");
  if (architecture !== "llama") {
    throw new ConfigError(
      `Cannot read ${quotedPath(file.path)}: its architecture is ` +
        `${architecture === undefined ? "not named" : quoted(architecture)}, "llama" was wanted`,
    );
  }
  const experts = ggufInteger(file, "llama.expert_count") ?? 0;
  if (experts !== 0) {
    refuseKey(file, {
      key: "llama.expert_count",
      is: experts,
      wanted: "0 (no mixture of experts)",
    });
  }
  const key = "llama.attention.causal";
  if (ggufBoolean(file, key) === false) {
    refuseKey(file, { key, is: false, wanted: "true (attention to what came before)" });
  }
}

function readVocabSize(file: GgufDescription): number {
  const rows = file.records.get("token_embd.weight")?.shape[0];
  return ggufInteger(file, "llama.vocab_size") ?? rows ??
    refuseKey(file, { key: "llama.vocab_size", is: undefined, wanted: "a whole number" });
}

function readHeadDim(file: GgufDescription, width: number, heads: number): number {
  const headDim = ggufInteger(file, "llama.attention.key_length") ?? width / heads;
  if (!Number.isInteger(headDim)) {
    refuseKey(file, {
      key: "llama.embedding_length",
      is: width,
      wanted: `a multiple of the ${heads} heads`,
    });
  }
  for (const key of ["llama.attention.value_length", "llama.rope.dimension_count"]) {
    const other = ggufInteger(file, key) ?? headDim;
    if (other !== headDim) {
      refuseKey(file, { key, is: other, wanted: `the head's width (${headDim})` });
    }
  }
  return headDim;
}

/** One number, or one for each layer, which must then be the same. */
function readKvHeads(file: GgufDescription): number | undefined {
  const key = "llama.attention.head_count_kv";
  if (file.metadata.get(key)?.type !== "array") return ggufInteger(file, key);
  const list = [...ggufIntegers(file, key) ?? []];
  if (list.some((heads) => heads !== list[0])) {
    refuseKey(file, { key, is: list, wanted: "the same number in all layers" });
  }
  return list[0];
}
