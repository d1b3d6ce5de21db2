/**
 * Hugging Face's `config.json`, both ways: Llama's, and the `palm-like` one that Llamero writes for
 * PaLM (Hugging Face has none).
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { checkConfig, type ConfigSource, type CountField, type ModelConfig } from "./config.ts";
import { ConfigFields, shown } from "./config_fields.ts";
import { parseRope, toRopeScaling } from "./rope_huggingface.ts";

const SUPPORTED = 'supported are "llama" and "palm-like"';
/** Element types that `toHuggingFaceConfig` can name. */
export type FloatName = "f32" | "f16" | "bf16";

const FLOAT_NAMES: Readonly<Record<FloatName, string>> = {
  f32: "float32",
  f16: "float16",
  bf16: "bfloat16",
};

const KEYS: NonNullable<ConfigSource["keys"]> = { eosTokenIds: "eos_token_id" };
const LLAMA_KEYS = { ...KEYS, normEps: "rms_norm_eps" };
/** The key of eps says which norm it is: T5X's PaLM has RMSNorm where the paper says LayerNorm. */
const PALM_EPS = { layer: "layer_norm_eps", rms: "rms_norm_eps" } as const;

/**
 * Reads a parsed `config.json`. What Hugging Face defaults (`num_key_value_heads`, `head_dim`,
 * `rms_norm_eps`, `rope_theta`, …) may be absent; sizes may not.
 *
 * @throws {ConfigError} For another architecture, a feature that is not Llama's, or a value out of
 * range; the message names file, key, value and what was wanted.
 */
export function parseHuggingFaceConfig(json: unknown, file: string): ModelConfig {
  const fields = new ConfigFields(json, { file });
  return modelTypeOf(fields) === "llama" ? parseLlama(fields) : parsePalm(fields);
}

/** `llama` or `palm-like`, from `model_type` or, where that is absent, `architectures`. */
function modelTypeOf(fields: ConfigFields): "llama" | "palm-like" {
  const { file } = fields;
  const list = fields.raw("architectures");
  const classes: unknown[] = Array.isArray(list) ? list : [];
  const model = classes.length > 0 ? String(classes[0]) : undefined;
  const fromClass = model?.replace(/For[A-Z].*$|Model$|LMHeadModel$/, "").toLowerCase();
  const type = fields.has("model_type") ? fields.string("model_type") : fromClass;
  if (type === undefined) {
    throw new ConfigError(
      `Cannot read ${quotedPath(file)}: it has neither "model_type" nor "architectures", ` +
        `a model's config was wanted`,
      { hint: SUPPORTED },
    );
  }
  if (type !== "llama" && type !== "palm-like" && type !== "palmlike") {
    throw new ConfigError(
      `Cannot read ${quotedPath(file)}: the architecture is ${shown(type)}, a Llama was wanted`,
      { hint: SUPPORTED },
    );
  }
  if (model !== undefined && !/^(llamaforcausallm|palmlikeforcausallm)$/i.test(model)) {
    throw new ConfigError(
      `Cannot read ${quotedPath(file)}: the architecture is ${shown(model)}, ` +
        `a language model ("LlamaForCausalLM") was wanted`,
      { hint: SUPPORTED },
    );
  }
  return type === "llama" ? "llama" : "palm-like";
}

function parseLlama(fields: ConfigFields): ModelConfig {
  for (const key of ["attention_bias", "mlp_bias", "rope_interleaved"]) {
    if (fields.boolean(key, false)) fields.refuse(key, "false (Llama has none)");
  }
  if (fields.number("partial_rotary_factor", 1) !== 1) fields.refuse("partial_rotary_factor", "1");
  const sizes = parseSizes(fields);
  return checkConfig({
    architecture: "llama",
    ...sizes,
    norm: "rms",
    normEps: fields.number("rms_norm_eps", 1e-6),
    ...parseRope(fields, sizes),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    ...parseTokens(fields),
  }, { file: fields.file, keys: LLAMA_KEYS });
}

function parsePalm(fields: ConfigFields): ModelConfig {
  if (fields.boolean("layer_norm_bias", false)) fields.refuse("layer_norm_bias", "false");
  if (fields.string("rope_layout", "rotate_half") !== "rotate_half") {
    fields.refuse("rope_layout", '"rotate_half"');
  }
  const sizes = parseSizes(fields);
  const norm = fields.has(PALM_EPS.rms) && !fields.has(PALM_EPS.layer) ? "rms" : "layer";
  return checkConfig({
    architecture: "palm",
    ...sizes,
    norm,
    normEps: fields.number(PALM_EPS[norm]),
    ...parseRope(fields, sizes),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", true),
    parallelBlock: fields.boolean("parallel_block", true),
    logitsScale: fields.number("logits_scale", 1 / Math.sqrt(sizes.hiddenSize)),
    zLoss: fields.number("z_loss", 1e-4),
    ...parseTokens(fields),
  }, { file: fields.file, keys: { ...KEYS, normEps: PALM_EPS[norm] } });
}

type Sizes = Pick<ModelConfig, CountField>;

function parseSizes(fields: ConfigFields): Sizes {
  const activation = fields.string("hidden_act", "silu");
  if (activation !== "silu" && activation !== "swish") fields.refuse("hidden_act", '"silu"');
  if (fields.has("quantization_config")) {
    fields.refuse("quantization_config", "a model that is not quantized (or a .gguf file)");
  }
  const hiddenSize = fields.integer("hidden_size");
  const numAttentionHeads = fields.integer("num_attention_heads");
  if (numAttentionHeads < 1) fields.refuse("num_attention_heads", "a whole number above 0");
  if (!fields.has("head_dim") && hiddenSize % numAttentionHeads !== 0) {
    fields.refuse("hidden_size", `a multiple of "num_attention_heads" (${numAttentionHeads})`);
  }
  return {
    vocabSize: fields.integer("vocab_size"),
    hiddenSize,
    intermediateSize: fields.integer("intermediate_size"),
    numHiddenLayers: fields.integer("num_hidden_layers"),
    numAttentionHeads,
    numKeyValueHeads: fields.integer("num_key_value_heads", numAttentionHeads),
    headDim: fields.integer("head_dim", hiddenSize / numAttentionHeads),
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 2048),
  };
}

function parseTokens(fields: ConfigFields): Pick<ModelConfig, "bosTokenId" | "eosTokenIds"> {
  const eosTokenIds = [...new Set(fields.integers("eos_token_id"))];
  if (!fields.has("bos_token_id")) return { eosTokenIds };
  return { bosTokenId: fields.integer("bos_token_id"), eosTokenIds };
}

/**
 * Adds the ending tokens of a parsed `generation_config.json`: Llama 3's chat models end at more
 * tokens than `config.json` says.
 *
 * @throws {ConfigError} Where they are no token ids.
 */
export function mergeGenerationConfig(
  config: ModelConfig,
  options: { readonly json: unknown; readonly file: string },
): ModelConfig {
  const more = new ConfigFields(options.json, { file: options.file }).integers("eos_token_id");
  const eosTokenIds = [...new Set([...config.eosTokenIds, ...more])];
  return checkConfig({ ...config, eosTokenIds }, { file: options.file, keys: KEYS });
}

/**
 * Writes a config as the value of a `config.json` that transformers loads (for PaLM, that Llamero
 * does); reading it back gives the same config. `dtype` is the element type of the weights.
 */
export function toHuggingFaceConfig(
  config: ModelConfig,
  options: { readonly dtype?: FloatName } = {},
): Record<string, unknown> {
  const isLlama = config.architecture === "llama";
  const family = isLlama
    ? {
      attention_bias: false,
      mlp_bias: false,
      rms_norm_eps: config.normEps,
    }
    : {
      [PALM_EPS[config.norm]]: config.normEps,
      layer_norm_bias: false,
      parallel_block: config.parallelBlock,
      rope_layout: "rotate_half",
      logits_scale: config.logitsScale,
      z_loss: config.zLoss,
    };
  const { eosTokenIds } = config;
  return {
    architectures: [isLlama ? "LlamaForCausalLM" : "PalmLikeForCausalLM"],
    model_type: isLlama ? "llama" : "palm-like",
    bos_token_id: config.bosTokenId ?? null,
    eos_token_id: eosTokenIds.length > 1 ? [...eosTokenIds] : eosTokenIds[0] ?? null,
    hidden_act: "silu",
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxPositionEmbeddings,
    num_attention_heads: config.numAttentionHeads,
    num_hidden_layers: config.numHiddenLayers,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    ...family,
    rope_theta: config.ropeTheta,
    rope_scaling: toRopeScaling(config.ropeScaling),
    tie_word_embeddings: config.tieWordEmbeddings,
    ...(options.dtype === undefined ? {} : { torch_dtype: FLOAT_NAMES[options.dtype] }),
    vocab_size: config.vocabSize,
  };
}
