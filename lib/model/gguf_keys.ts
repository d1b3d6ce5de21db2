/**
 * A config as the metadata of a GGUF file: the keys and the tensor of rotary factors that
 * `parseGgufConfig` reads, and llama.cpp.
 *
 * @module
 */

import type { GgufValue } from "../formats/gguf_types.ts";
import type { ModelConfig, RopeScaling } from "./config.ts";
import { ropeFrequencies } from "./rope.ts";

/**
 * Keys for what llama.cpp takes from the factors alone: the rule behind them, where it is not the
 * published models'.
 */
export const ROPE_SCALING_KEYS = {
  originalMaxPositionEmbeddings: "llama.rope.scaling.original_context_length",
  lowFreqFactor: "llama.rope.scaling.low_freq_factor",
  highFreqFactor: "llama.rope.scaling.high_freq_factor",
} as const;

/** What a file without these keys means. */
export const USUAL_ROPE_SCALING: Readonly<
  Record<keyof typeof ROPE_SCALING_KEYS, number>
> = { originalMaxPositionEmbeddings: 8192, lowFreqFactor: 1, highFreqFactor: 4 };

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value: Math.fround(value) });

/** The keys under `llama.` that say a config; the head's width only where it is no quotient. */
export function toGgufKeys(config: ModelConfig): Map<string, GgufValue> {
  const keys = new Map<string, GgufValue>([
    ["llama.block_count", u32(config.numHiddenLayers)],
    ["llama.context_length", u32(config.maxPositionEmbeddings)],
    ["llama.embedding_length", u32(config.hiddenSize)],
    ["llama.feed_forward_length", u32(config.intermediateSize)],
    ["llama.attention.head_count", u32(config.numAttentionHeads)],
    ["llama.attention.head_count_kv", u32(config.numKeyValueHeads)],
    ["llama.attention.layer_norm_rms_epsilon", f32(config.normEps)],
    ["llama.rope.dimension_count", u32(config.headDim)],
    ["llama.rope.freq_base", f32(config.ropeTheta)],
    ["llama.vocab_size", u32(config.vocabSize)],
  ]);
  if (config.headDim * config.numAttentionHeads !== config.hiddenSize) {
    keys.set("llama.attention.key_length", u32(config.headDim));
    keys.set("llama.attention.value_length", u32(config.headDim));
  }
  if (config.ropeScaling !== undefined) addScaling(keys, config.ropeScaling);
  return keys;
}

function addScaling(keys: Map<string, GgufValue>, scaling: RopeScaling): void {
  if (scaling.type === "linear") {
    keys.set("llama.rope.scaling.type", { type: "string", value: "linear" });
    keys.set("llama.rope.scaling.factor", f32(scaling.factor));
    return;
  }
  const usual = USUAL_ROPE_SCALING;
  const { originalMaxPositionEmbeddings: original, lowFreqFactor, highFreqFactor } = scaling;
  if (original !== usual.originalMaxPositionEmbeddings) {
    keys.set(ROPE_SCALING_KEYS.originalMaxPositionEmbeddings, u32(original));
  }
  if (lowFreqFactor !== usual.lowFreqFactor) {
    keys.set(ROPE_SCALING_KEYS.lowFreqFactor, f32(lowFreqFactor));
  }
  if (highFreqFactor !== usual.highFreqFactor) {
    keys.set(ROPE_SCALING_KEYS.highFreqFactor, f32(highFreqFactor));
  }
}

/**
 * The values of the tensor `rope_freqs.weight` [headDim/2]: what each rotary frequency is divided by,
 * `theta^(-2i/headDim) / frequency[i]`; `undefined` where they are
 * not stretched, or all alike, which keys say.
 */
export function ggufRopeFactors(config: ModelConfig): Float32Array<ArrayBuffer> | undefined {
  if (config.ropeScaling?.type !== "llama3") return undefined;
  const { headDim, ropeTheta } = config;
  const plain = ropeFrequencies({ headDim, ropeTheta });
  const stretched = ropeFrequencies(config);
  return Float32Array.from(plain, (frequency, i) => frequency / stretched[i]!);
}
