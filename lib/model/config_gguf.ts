/**
 * The metadata of a GGUF file as a config.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { GgufFile } from "../formats/gguf.ts";
import { ggufFloat, ggufInteger, ggufIntegers, ggufString } from "../formats/gguf_values.ts";
import {
  checkConfig,
  type ConfigSource,
  type LinearRopeScaling,
  type Llama3RopeScaling,
  type ModelConfig,
  type RopeScaling,
} from "./config.ts";
import { ROPE_SCALING_KEYS, USUAL_ROPE_SCALING } from "./gguf_keys.ts";
import { ropeFrequencies } from "./rope.ts";

/** The part of a GGUF file that a config is made of. */
export type GgufDescription = Pick<GgufFile, "path" | "metadata" | "records">;

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

function refuse(file: GgufDescription, key: string, is: unknown, wanted: string): never {
  const list = (items: readonly unknown[]) => `[${items.slice(0, 4).join(", ")}, …]`;
  const shown = typeof is === "string" ? quoted(is) : Array.isArray(is) ? list(is) : `${is}`;
  throw new ConfigError(
    `Cannot read ${quotedPath(file.path)}: the key "${key}" is ${
      is === undefined ? "missing" : shown
    }, ${wanted} was wanted`,
  );
}

function needed(file: GgufDescription, key: string): number {
  return ggufInteger(file, key) ?? refuse(file, key, undefined, "a whole number");
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
    refuse(file, "llama.attention.head_count", numAttentionHeads, "a whole number above 0");
  }
  const headDim = readHeadDim(file, hiddenSize, numAttentionHeads);
  const ropeTheta = decimal(ggufFloat(file, "llama.rope.freq_base") ?? 10000);
  const eps = ggufFloat(file, "llama.attention.layer_norm_rms_epsilon");
  if (eps === undefined) {
    refuse(file, "llama.attention.layer_norm_rms_epsilon", undefined, "a number");
  }
  const bosTokenId = ggufInteger(file, "tokenizer.ggml.bos_token_id");
  const ends = END_KEYS.map((key) => ggufInteger(file, key)).filter((id) => id !== undefined);
  const context = needed(file, "llama.context_length");
  const ropeScaling = readScaling(file, { ...options, ropeTheta, headDim });
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
  if (experts !== 0) refuse(file, "llama.expert_count", experts, "0 (no mixture of experts)");
}

function readVocabSize(file: GgufDescription): number {
  const rows = file.records.get("token_embd.weight")?.shape[0];
  return ggufInteger(file, "llama.vocab_size") ?? rows ??
    refuse(file, "llama.vocab_size", undefined, "a whole number");
}

function readHeadDim(file: GgufDescription, width: number, heads: number): number {
  const headDim = ggufInteger(file, "llama.attention.key_length") ?? width / heads;
  if (!Number.isInteger(headDim)) {
    refuse(file, "llama.embedding_length", width, `a multiple of the ${heads} heads`);
  }
  for (const key of ["llama.attention.value_length", "llama.rope.dimension_count"]) {
    const other = ggufInteger(file, key) ?? headDim;
    if (other !== headDim) refuse(file, key, other, `the head's width (${headDim})`);
  }
  return headDim;
}

/** One number, or one for each layer, which must then be the same. */
function readKvHeads(file: GgufDescription): number | undefined {
  const key = "llama.attention.head_count_kv";
  if (file.metadata.get(key)?.type !== "array") return ggufInteger(file, key);
  const list = [...ggufIntegers(file, key) ?? []];
  if (list.some((heads) => heads !== list[0])) {
    refuse(file, key, list, "the same number in all layers");
  }
  return list[0];
}

function readScaling(
  file: GgufDescription,
  known: {
    readonly ropeFactors?: Float32Array | undefined;
    readonly ropeTheta: number;
    readonly headDim: number;
  },
): RopeScaling | undefined {
  const linear = readLinearScaling(file);
  if (known.ropeFactors === undefined) return linear;
  if (linear !== undefined) {
    refuse(
      file,
      "llama.rope.scaling.factor",
      linear.factor,
      '1 beside a tensor "rope_freqs.weight"',
    );
  }
  const rule = readScalingRule(file);
  const scaling = scalingOf(known.ropeFactors, { ...known, rule });
  if (scaling !== null) return scaling;
  throw new ConfigError(
    `Cannot read ${
      quotedPath(file.path)
    }: the factors of tensor "rope_freqs.weight" are not those ` +
      `of Llama 3.1's rule (${rule.originalMaxPositionEmbeddings} positions, factors ` +
      `${rule.lowFreqFactor} and ${rule.highFreqFactor}), which were wanted`,
  );
}

/** As llama.cpp takes it: a factor counts unless the type is "none", and the older key where it is alone. */
function readLinearScaling(file: GgufDescription): LinearRopeScaling | undefined {
  const type = ggufString(file, "llama.rope.scaling.type") ?? "linear";
  if (type === "none") return undefined;
  if (type !== "linear") refuse(file, "llama.rope.scaling.type", type, '"linear" or "none"');
  const factor = ggufFloat(file, "llama.rope.scaling.factor") ??
    ggufFloat(file, "llama.rope.scale_linear") ?? 1;
  // Files say 0 for no scaling too.
  return factor === 0 || factor === 1 ? undefined : { type: "linear", factor: decimal(factor) };
}

type ScalingRule = Omit<Llama3RopeScaling, "type" | "factor">;

/** The bounds between which frequencies are stretched: the published models', where none are said. */
function readScalingRule(file: GgufDescription): ScalingRule {
  const keys = ROPE_SCALING_KEYS;
  const float = (name: "lowFreqFactor" | "highFreqFactor") => {
    const value = ggufFloat(file, keys[name]);
    return value === undefined ? USUAL_ROPE_SCALING[name] : decimal(value);
  };
  return {
    originalMaxPositionEmbeddings: ggufInteger(file, keys.originalMaxPositionEmbeddings) ??
      USUAL_ROPE_SCALING.originalMaxPositionEmbeddings,
    lowFreqFactor: float("lowFreqFactor"),
    highFreqFactor: float("highFreqFactor"),
  };
}

/** Relative error that float32 powers in the writer's formula leave. */
const TOLERANCE = 1e-4;

/** The scaling that gives these factors, `undefined` where they are all 1, `null` for no such. */
function scalingOf(
  factors: Float32Array,
  rope: { readonly ropeTheta: number; readonly headDim: number; readonly rule: ScalingRule },
): Llama3RopeScaling | undefined | null {
  const { rule } = rope;
  const plain = ropeFrequencies(rope);
  if (factors.length !== plain.length) return null;
  if (factors.every((value) => value === 1)) return undefined;
  const { lowFreqFactor: low, highFreqFactor: high } = rule;
  // The lowest frequency is stretched most: 1/value = (1 - kept)/factor + kept, solved for factor.
  const turns = (rule.originalMaxPositionEmbeddings * plain.at(-1)!) / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  const factor = (1 - kept) / (1 / factors.at(-1)! - kept);
  if (!(factor > 1 && Number.isFinite(factor))) return null;
  const ropeScaling: Llama3RopeScaling = {
    type: "llama3",
    factor: kept === 0 ? decimal(factor) : Number(factor.toPrecision(5)),
    ...rule,
  };
  const stretched = ropeFrequencies({ ...rope, ropeScaling });
  const isRight = factors.every((value, i) => {
    const wanted = plain[i]! / stretched[i]!;
    return Math.abs(value - wanted) <= TOLERANCE * wanted;
  });
  return isRight ? ropeScaling : null;
}

/** The shortest decimal that a float32 stands for: 1e-5 for 9.99999974e-6. */
function decimal(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}
