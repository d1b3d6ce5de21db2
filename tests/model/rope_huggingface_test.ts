import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { parseHuggingFaceConfig, toHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { ropeAngles } from "../../lib/model/rope.ts";

type Json = Record<string, unknown>;

const LLAMA: Json = {
  model_type: "llama",
  vocab_size: 64,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  max_position_embeddings: 256,
};

const parse = (change: Json) => parseHuggingFaceConfig({ ...LLAMA, ...change }, "config.json");

/** What the `LlamaRotaryEmbedding` of transformers 5.18 gives for heads of 16 and 256 positions. */
interface Reference {
  readonly rope: Json;
  /** Length of the text. */
  readonly positions?: number;
  /** `inv_freq`, in single precision. */
  readonly frequencies: readonly number[];
  /** `attention_scaling`. */
  readonly magnitude: number;
}

const YARN = { rope_type: "yarn", rope_theta: 10000 };
const DYNAMIC = { rope_type: "dynamic", rope_theta: 10000 };

const REFERENCES: Readonly<Record<string, Reference>> = {
  "YaRN": {
    rope: { ...YARN, factor: 4, original_max_position_embeddings: 64 },
    frequencies: [
      1,
      0.23717082,
      0.049999997,
      0.0079056947,
      0.0025,
      0.00079056947,
      0.00025,
      7.9056947e-5,
    ],
    magnitude: 1.138629436111989,
  },
  "YaRN with bounds and an attention factor": {
    rope: {
      ...YARN,
      factor: 2.5,
      original_max_position_embeddings: 128,
      beta_fast: 16,
      beta_slow: 2,
      attention_factor: 0.7,
    },
    frequencies: [1, 0.2529822, 0.06, 0.012649111, 0.004, 0.0012649111, 0.0004, 0.00012649111],
    magnitude: 0.7,
  },
  "YaRN whose bounds are not rounded": {
    rope: {
      ...YARN,
      rope_theta: 500000,
      factor: 16,
      original_max_position_embeddings: 8192,
      truncate: false,
    },
    frequencies: [
      1,
      0.19392276,
      0.037606031,
      0.0048986184,
      0.00032245473,
      1.7140512e-5,
      3.3239348e-6,
      6.4458658e-7,
    ],
    magnitude: 1.2772588722239782,
  },
  "YaRN of all positions, with DeepSeek's two scales": {
    rope: { ...YARN, factor: 4, mscale: 0.707, mscale_all_dim: 1.2 },
    frequencies: [1, 0.25693506, 0.0625, 0.013834965, 0.0025, 0.00079056947, 0.00025, 7.9056947e-5],
    magnitude: 0.941403523749669,
  },
  "YaRN whose factor follows from the positions": {
    rope: { ...YARN, factor: null, original_max_position_embeddings: 32 },
    frequencies: [
      1,
      0.17787811,
      0.0125,
      0.0039528473,
      0.00125,
      0.00039528473,
      0.000125,
      3.9528473e-5,
    ],
    magnitude: 1.2079441541679836,
  },
  "YaRN without room for its blend": {
    rope: { ...YARN, rope_theta: 50, factor: 4, original_max_position_embeddings: 2 },
    frequencies: [
      1,
      0.61323756,
      0.37606031,
      0.2306143,
      0.14142136,
      0.086724892,
      0.05318296,
      0.032613788,
    ],
    magnitude: 1.138629436111989,
  },
  "a dynamic scaling in a text of all positions": {
    rope: { ...DYNAMIC, factor: 2 },
    positions: 256,
    frequencies: [1, 0.31622776, 0.1, 0.031622779, 0.01, 0.0031622779, 0.001, 0.00031622779],
    magnitude: 1,
  },
  "a dynamic scaling in a text of one more": {
    rope: { ...DYNAMIC, factor: 2 },
    positions: 257,
    frequencies: [
      1,
      0.31587639,
      0.0997779,
      0.031517483,
      0.0099556297,
      0.0031447485,
      0.0009933518,
      0.0003137764,
    ],
    magnitude: 1,
  },
  "a dynamic scaling in a long text": {
    rope: { ...DYNAMIC, factor: 8 },
    positions: 1000,
    frequencies: [
      1,
      0.20053217,
      0.040213149,
      0.0080640297,
      0.0016170973,
      0.00032428,
      6.502858e-5,
      1.3040321e-5,
    ],
    magnitude: 1,
  },
};

for (const [name, reference] of Object.entries(REFERENCES)) {
  Deno.test(`${name} turns pairs as transformers does`, () => {
    const config = parse({ rope_parameters: reference.rope });
    for (const read of [config, parse(toHuggingFaceConfig(config))]) {
      const { frequencies, magnitude = 1 } = ropeAngles(read, reference.positions);
      strictEqual(frequencies.length, reference.frequencies.length);
      reference.frequencies.forEach((wanted, i) => {
        const got = frequencies[i]!;
        // The reference computes powers in single precision.
        ok(Math.abs(got - wanted) <= 1e-6 * wanted, `frequency ${i}: ${got}, not ${wanted}`);
      });
      // That of the two scales divides numbers which single precision holds not.
      ok(Math.abs(magnitude - reference.magnitude) <= 1e-8, `${magnitude}`);
    }
  });
}

Deno.test("what stands in a scaling goes before what stands beside it", () => {
  const linear = { rope_type: "linear", factor: 2 };
  const theta = (change: Json) => parse({ rope_theta: 777, ...change }).ropeTheta;
  strictEqual(theta({ rope_scaling: { ...linear, rope_theta: 33 } }), 33);
  strictEqual(theta({ rope_scaling: linear }), 777);
  strictEqual(theta({ rope_parameters: linear }), 777);
  const both = parse({
    rope_parameters: { rope_type: "default", rope_theta: 5 },
    rope_scaling: linear,
    rope_theta: 777,
  });
  strictEqual(both.ropeTheta, 777);
  deepStrictEqual(both.ropeScaling, { type: "linear", factor: 2 });
  strictEqual(theta({ rope_scaling: {}, rope_parameters: { rope_theta: 5 } }), 5);
});

Deno.test("the first positions are the config's, the scaling's, or all, in this order", () => {
  const originalOf = (change: Json, own: Json) => {
    const bounds = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, ...own };
    return ["llama3", "yarn"].map((rope_type) => {
      const { ropeScaling } = parse({ rope_scaling: { rope_type, ...bounds }, ...change });
      return ropeScaling?.type === "linear" ? 0 : ropeScaling?.originalMaxPositionEmbeddings;
    });
  };
  const own = { original_max_position_embeddings: 64 };
  deepStrictEqual(originalOf({ original_max_position_embeddings: 100 }, own), [100, 100]);
  deepStrictEqual(originalOf({}, own), [64, 64]);
  deepStrictEqual(originalOf({}, {}), [256, 256]);
});
