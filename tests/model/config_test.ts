import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import {
  mergeGenerationConfig,
  parseHuggingFaceConfig,
  toHuggingFaceConfig,
} from "../../lib/model/config_huggingface.ts";
import { feedForwardSize, parseMetaParams } from "../../lib/model/config_meta.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { golden } from "../fixtures.ts";

type Json = Record<string, unknown>;

function read(path: string): Json {
  return JSON.parse(Deno.readTextFileSync(golden(path))) as Json;
}

const LLAMA: Json = {
  model_type: "llama",
  hidden_size: 48,
  intermediate_size: 128,
  num_attention_heads: 6,
  num_hidden_layers: 2,
  vocab_size: 100,
};

const PALM = read("palm/config.json");

function parse(changes: Json, base: Json = LLAMA) {
  return parseHuggingFaceConfig({ ...base, ...changes }, "here/config.json");
}

function refused(pattern: RegExp, changes: Json, base: Json = LLAMA): void {
  assert.throws(() => parse(changes, base), (error: unknown) => {
    assert.ok(error instanceof ConfigError, `not a ConfigError: ${error}`);
    assert.equal(error.exitCode, 2);
    assert.match(error.message, pattern);
    assert.ok(error.message.includes("here/config.json"), error.message);
    assert.ok(!error.message.includes("\n"));
    return true;
  });
}

Deno.test("what a small Llama's config leaves out has Hugging Face's defaults", () => {
  assert.deepEqual(parse({}), {
    architecture: "llama",
    vocabSize: 100,
    hiddenSize: 48,
    intermediateSize: 128,
    numHiddenLayers: 2,
    numAttentionHeads: 6,
    numKeyValueHeads: 6,
    headDim: 8,
    maxPositionEmbeddings: 2048,
    norm: "rms",
    normEps: 1e-6,
    ropeTheta: 10000,
    tieWordEmbeddings: false,
    parallelBlock: false,
    logitsScale: 1,
    zLoss: 0,
    eosTokenIds: [],
  });
});

Deno.test("null means absent", () => {
  const config = parse({ head_dim: null, num_key_value_heads: null, rope_scaling: null });
  assert.equal(config.headDim, 8);
  assert.equal(config.numKeyValueHeads, 6);
  assert.equal(config.ropeScaling, undefined);
});

Deno.test("a head may be wider than its share of the hidden state", () => {
  assert.equal(parse({ head_dim: 12 }).headDim, 12);
});

Deno.test("ending tokens are a number or a list, and generation_config.json adds its own", () => {
  assert.deepEqual(parse({ eos_token_id: 2 }).eosTokenIds, [2]);
  const config = parse({ eos_token_id: [2, 7, 2] });
  assert.deepEqual(config.eosTokenIds, [2, 7]);
  const merged = (json: unknown) => mergeGenerationConfig(config, { json, file: "g.json" });
  assert.deepEqual(merged({ eos_token_id: [7, 9] }).eosTokenIds, [2, 7, 9]);
  assert.deepEqual(merged({ eos_token_id: 5 }).eosTokenIds, [2, 7, 5]);
  assert.deepEqual(merged({ temperature: 0.6 }).eosTokenIds, [2, 7]);
  assert.throws(() => merged({ eos_token_id: [100] }), /"g\.json": "eos_token_id" is 100/);
});

const LLAMA31 = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

Deno.test("Llama 3.1's scaling is read in its three spellings", () => {
  const scaling = {
    type: "llama3",
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositionEmbeddings: 8192,
  };
  const spellings: Json[] = [
    { rope_theta: 500000, rope_scaling: { rope_type: "llama3", ...LLAMA31 } },
    { rope_theta: 500000, rope_scaling: { type: "llama3", ...LLAMA31 } },
    { rope_parameters: { rope_theta: 500000, rope_type: "llama3", ...LLAMA31 } },
  ];
  for (const spelling of spellings) {
    const config = parse(spelling);
    assert.deepEqual(config.ropeScaling, scaling);
    assert.equal(config.ropeTheta, 500000);
  }
  const plain = parse({ rope_parameters: { rope_theta: 20000, rope_type: "default" } });
  assert.equal(plain.ropeTheta, 20000);
  assert.equal(plain.ropeScaling, undefined);
});

Deno.test("a linear scaling is read in its three spellings, and written in one", () => {
  const spellings: Json[] = [
    { rope_scaling: { rope_type: "linear", factor: 4 } },
    { rope_scaling: { type: "linear", factor: 4.0 } },
    { rope_parameters: { rope_theta: 10000, rope_type: "linear", factor: 4 } },
  ];
  for (const spelling of spellings) {
    const config = parse(spelling);
    assert.deepEqual(config.ropeScaling, { type: "linear", factor: 4 });
    assert.deepEqual(toHuggingFaceConfig(config).rope_scaling, { rope_type: "linear", factor: 4 });
  }
});

Deno.test("the palm-like config of the fixtures says all that differs from a Llama", () => {
  const config = parse({}, PALM);
  assert.equal(config.architecture, "palm");
  assert.equal(config.norm, "layer");
  assert.equal(config.parallelBlock, true);
  assert.equal(config.tieWordEmbeddings, true);
  assert.equal(config.logitsScale, 0.125);
  assert.equal(config.zLoss, 1e-4);
  assert.equal(config.headDim, 12);
  assert.equal(config.numKeyValueHeads, 1);
  assert.equal(config.normEps, 1e-5);
});

Deno.test("architectures alone name the family, and old spellings of the class are known", () => {
  const nameless = (name: string) => parse({ model_type: null, architectures: [name] });
  assert.equal(nameless("LlamaForCausalLM").architecture, "llama");
  assert.equal(parse({ architectures: ["LLaMAForCausalLM"] }).architecture, "llama");
});

for (const name of ["llama_mha", "llama_gqa", "llama_gqa_tied", "llama3", "llama31", "palm"]) {
  Deno.test(`${name}: a config written and read again is the same`, () => {
    const config = parseHuggingFaceConfig(read(`${name}/config.json`), "a");
    const written = JSON.parse(JSON.stringify(toHuggingFaceConfig(config, { dtype: "f32" })));
    assert.deepEqual(parseHuggingFaceConfig(written, "b"), config);
  });

  Deno.test(`${name}: what is written says what the fixture's config says`, () => {
    const original = read(`${name}/config.json`);
    const config = parseHuggingFaceConfig(original, "a");
    const written = toHuggingFaceConfig(config, { dtype: "f32" });
    for (const [key, value] of Object.entries(written)) {
      if (Object.hasOwn(original, key)) assert.deepEqual(value, original[key], key);
    }
  });
}

Deno.test("presets round-trip through config.json, stretched positions and all", () => {
  for (const name of ["llama3.2-3b", "palm-540b", "llama1-65b"]) {
    const { config } = presetOf(name);
    const written = JSON.parse(JSON.stringify(toHuggingFaceConfig(config)));
    assert.deepEqual(parseHuggingFaceConfig(written, "x"), config);
  }
});

const REFUSED: readonly (readonly [string, RegExp, Json, Json?])[] = [
  ["another architecture", /architecture is "mistral", a Llama was wanted/, {
    model_type: "mistral",
  }],
  ["another architecture by its class", /architecture is "gptneox"/, {
    model_type: null,
    architectures: ["GPTNeoXForCausalLM"],
  }],
  ["a Llama that classifies", /"LlamaForSequenceClassification", a language model/, {
    architectures: ["LlamaForSequenceClassification"],
  }],
  ["no architecture", /neither "model_type" nor "architectures"/, { model_type: null }],
  ["attention biases", /"attention_bias" is true, false/, { attention_bias: true }],
  ["feed-forward biases", /"mlp_bias" is true/, { mlp_bias: true }],
  ["another activation", /"hidden_act" is "gelu", "silu" was wanted/, { hidden_act: "gelu" }],
  ["packed weights", /"quantization_config" is an object/, { quantization_config: {} }],
  ["partial rotary positions", /"partial_rotary_factor" is 0.5/, { partial_rotary_factor: 0.5 }],
  [
    "a text for a size",
    /"hidden_size" is "48", a whole number was wanted/,
    { hidden_size: "48" },
  ],
  ["a missing size", /"hidden_size" is missing/, { hidden_size: null }],
  ["a fraction of a layer", /"num_hidden_layers" is 2.5/, { num_hidden_layers: 2.5 }],
  ["no layers", /"num_hidden_layers" is 0, a whole number from 1/, { num_hidden_layers: 0 }],
  ["no heads", /"num_attention_heads" is 0/, { num_attention_heads: 0 }],
  ["a negative width", /"intermediate_size" is -1/, { intermediate_size: -1 }],
  ["an absurd vocabulary", /"vocab_size" is 1000000000000, .* to 16777216/, { vocab_size: 1e12 }],
  ["a number beyond all integers", /"vocab_size" is 1e\+300/, { vocab_size: 1e300 }],
  ["sizes that make an absurd model", /at most 70368744177664 was wanted/, {
    hidden_size: 2 ** 20,
    head_dim: 64,
    intermediate_size: 2 ** 22,
    num_hidden_layers: 8192,
  }],
  ["heads that do not divide the width", /"hidden_size" is 50, a multiple/, { hidden_size: 50 }],
  ["kv heads that do not divide the heads", /"num_key_value_heads" is 4, a divisor of .* \(6\)/, {
    num_key_value_heads: 4,
  }],
  ["more kv heads than heads", /"num_key_value_heads" is 12/, { num_key_value_heads: 12 }],
  ["an odd head", /"head_dim" is 7, an even number/, { head_dim: 7 }],
  ["eps of zero", /"rms_norm_eps" is 0/, { rms_norm_eps: 0 }],
  ["a negative eps", /"rms_norm_eps" is -0.00001/, { rms_norm_eps: -1e-5 }],
  ["eps as text", /"rms_norm_eps" is "1e-5", a number/, { rms_norm_eps: "1e-5" }],
  ["theta of zero", /"rope_theta" is 0, a number above 0/, { rope_theta: 0 }],
  ["theta of infinity", /"rope_theta" is Infinity/, { rope_theta: Infinity }],
  [
    "another rope scaling",
    /"rope_scaling.rope_type" is "mrope", "linear", "llama3", "yarn", "dynamic" or "default"/,
    { rope_scaling: { rope_type: "mrope", factor: 4 } },
  ],
  ["another rope scaling in the old spelling", /"rope_scaling.type" is "su"/, {
    rope_scaling: { type: "su", factor: 2 },
  }],
  [
    "a dynamic scaling that shrinks",
    /"factor" of the rope scaling is 0.5, a number of at least 1/,
    {
      rope_scaling: { type: "dynamic", factor: 0.5 },
    },
  ],
  ["a YaRN without a magnitude", /"attention_factor" of the rope scaling is -1, a number above 0/, {
    rope_scaling: { type: "yarn", factor: 4, attention_factor: -1 },
  }],
  [
    "a YaRN with its bounds the wrong way round",
    /"beta_fast" of the rope scaling is 0.5, at least/,
    {
      rope_scaling: { type: "yarn", factor: 4, beta_fast: 0.5 },
    },
  ],
  ["a YaRN of no first positions", /"original_max_position_embeddings" of the rope scaling is 0/, {
    rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 0 },
  }],
  [
    "a YaRN whose base has no logarithm",
    /"rope_theta" of the rope scaling is 1, a number above 1/,
    {
      rope_theta: 1,
      rope_scaling: { type: "yarn", factor: 4 },
    },
  ],
  ["a scaling of a part of the head", /"rope_parameters.partial_rotary_factor" is 0.5, 1 was/, {
    rope_parameters: { rope_type: "default", partial_rotary_factor: 0.5 },
  }],
  ["another rope scaling in the new place", /"rope_parameters.rope_type" is "longrope"/, {
    rope_parameters: { rope_type: "longrope" },
  }],
  ["a linear scaling that shrinks", /"factor" of the rope scaling is 0.5, a number of at least 1/, {
    rope_scaling: { type: "linear", factor: 0.5 },
  }],
  ["a rope scaling that is no object", /"rope_scaling" is "llama3", an object/, {
    rope_scaling: "llama3",
  }],
  ["a rope scaling without its factor", /"rope_scaling.factor" is missing/, {
    rope_scaling: { rope_type: "llama3", ...LLAMA31, factor: null },
  }],
  ["a rope scaling that shrinks", /"factor" of the rope scaling is 0.5/, {
    rope_scaling: { rope_type: "llama3", ...LLAMA31, factor: 0.5 },
  }],
  ["rope scaling bounds the wrong way round", /"high_freq_factor" of the rope scaling is 1/, {
    rope_scaling: { rope_type: "llama3", ...LLAMA31, high_freq_factor: 1 },
  }],
  ["a beginning token outside the vocabulary", /"bos_token_id" is 100, a token id below/, {
    bos_token_id: 100,
  }],
  ["an ending token outside the vocabulary", /"eos_token_id" is -1/, { eos_token_id: [2, -1] }],
  ["ending tokens as text", /"eos_token_id" is a list of 1, a whole number or a list/, {
    eos_token_id: ["</s>"],
  }],
  ["a tie that is neither true nor false", /"tie_word_embeddings" is 1, true or false/, {
    tie_word_embeddings: 1,
  }],
  ["a PaLM with biases in its norm", /"layer_norm_bias" is true/, { layer_norm_bias: true }, PALM],
  ["a PaLM in another rope layout", /"rope_layout" is "interleaved"/, {
    rope_layout: "interleaved",
  }, PALM],
  ["a PaLM without eps", /"layer_norm_eps" is missing/, { layer_norm_eps: null }, PALM],
  ["a PaLM with logits times zero", /"logits_scale" is 0/, { logits_scale: 0 }, PALM],
  ["a PaLM with a negative z-loss", /"z_loss" is -1/, { z_loss: -1 }, PALM],
];

for (const [what, pattern, changes, base] of REFUSED) {
  Deno.test(`a config is refused for ${what}`, () => refused(pattern, changes, base));
}

Deno.test("a config that is no object is refused", () => {
  for (const json of [[], null, 7, "llama"]) {
    assert.throws(() => parseHuggingFaceConfig(json, "x.json"), /"x\.json": it is .* an object/);
  }
});

Deno.test("Meta's feed-forward rule gives the width of every published model", () => {
  const { ffn } = read("tables/tables.json") as {
    ffn: {
      model: string;
      dim: number;
      multiple_of: number;
      ffn_dim_multiplier: number | null;
      ffn_dim: number;
    }[];
  };
  assert.ok(ffn.length >= 15);
  for (const { model, dim, multiple_of, ffn_dim_multiplier, ffn_dim } of ffn) {
    const rule = { multipleOf: multiple_of, multiplier: ffn_dim_multiplier ?? undefined };
    assert.equal(feedForwardSize(dim, rule), ffn_dim, model);
  }
});

const META: Json = { dim: 64, n_layers: 2, n_heads: 8, multiple_of: 32, norm_eps: 1e-5 };

function parseMeta(changes: Json) {
  const weights = { file: "here/params.json", vocabSize: 320, tieWordEmbeddings: false };
  return parseMetaParams({ ...META, ...changes }, weights);
}

Deno.test("params.json: a vocabulary of -1 is the embedding's", () => {
  assert.equal(parseMeta({ vocab_size: -1 }).vocabSize, 320);
  assert.equal(parseMeta({ vocab_size: 320 }).vocabSize, 320);
  assert.equal(parseMeta({ n_kv_heads: 2 }).numKeyValueHeads, 2);
});

Deno.test("params.json of Llama 3.2 1B becomes the preset's config, but for ties and endings", () => {
  const config = parseMetaParams({
    dim: 2048,
    ffn_dim_multiplier: 1.5,
    multiple_of: 256,
    n_heads: 32,
    n_kv_heads: 8,
    n_layers: 16,
    norm_eps: 1e-5,
    rope_theta: 500000,
    use_scaled_rope: true,
    vocab_size: 128256,
  }, { file: "params.json", vocabSize: 128256, tieWordEmbeddings: true });
  const preset = presetOf("llama3.2-1b").config;
  assert.deepEqual(config, { ...preset, eosTokenIds: [128001, 128008, 128009] });
});

Deno.test("params.json of LLaMA 1 and Llama 2 differ in context by what they are", () => {
  const seven = { dim: 4096, multiple_of: 256, n_heads: 32, n_layers: 32, vocab_size: -1 };
  const weights = { file: "p", vocabSize: 32000, tieWordEmbeddings: false };
  const one = parseMetaParams({ ...seven, norm_eps: 1e-6 }, weights);
  const two = parseMetaParams({ ...seven, norm_eps: 1e-5 }, weights);
  assert.deepEqual(one, presetOf("llama1-7b").config);
  assert.deepEqual(two, presetOf("llama2-7b").config);
});

const META_REFUSED: readonly (readonly [string, RegExp, Json])[] = [
  ["a vocabulary that is not the embedding's", /"vocab_size" is 256, 320/, { vocab_size: 256 }],
  ["heads that do not divide the width", /"dim" is 64, a multiple of "n_heads" \(7\)/, {
    n_heads: 7,
  }],
  ["no heads", /"n_heads" is 0/, { n_heads: 0 }],
  ["a missing rule of the feed-forward width", /"multiple_of" is missing/, { multiple_of: null }],
  ["a multiple of zero", /"multiple_of" is 0/, { multiple_of: 0 }],
  ["a negative multiplier", /"ffn_dim_multiplier" is -1/, { ffn_dim_multiplier: -1 }],
  ["experts", /"moe" is an object, none/, { moe: { num_experts: 8 } }],
  ["kv heads that do not divide", /"n_kv_heads" is 3, a divisor of "n_heads" \(8\)/, {
    n_kv_heads: 3,
  }],
  ["a missing width", /"dim" is missing/, { dim: null }],
];

for (const [what, pattern, changes] of META_REFUSED) {
  Deno.test(`params.json is refused for ${what}`, () => {
    assert.throws(() => parseMeta(changes), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, pattern);
      assert.ok(error.message.includes("here/params.json"));
      return true;
    });
  });
}
