/**
 * A config as the metadata of a GGUF file: the keys and the tensor of rotary factors that
 * `parseGgufConfig` reads, and llama.cpp.
 *
 * @module
 */

import type { GgufValue } from "../formats/gguf_types.ts";
import type { ModelConfig } from "./config.ts";
import { ggufRopeKeys } from "./gguf_rope.ts";

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
  for (const [key, value] of ggufRopeKeys(config)) keys.set(key, value);
  return keys;
}
