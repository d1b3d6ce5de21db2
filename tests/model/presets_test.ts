import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { checkConfig } from "../../lib/model/config.ts";
import { feedForwardSize } from "../../lib/model/config_meta.ts";
import { countParameters } from "../../lib/model/parameters.ts";
import { PRESET_NAMES, presetLike, presetOf } from "../../lib/model/presets.ts";
import { golden } from "../fixtures.ts";

const count = (name: string, vocabSize?: number): number =>
  countParameters(presetOf(name, vocabSize === undefined ? {} : { vocabSize }).config).total;

Deno.test("every name that the command line promises is a preset", () => {
  const wanted = [
    ...["debug", "llama-15m", "llama-42m", "llama-110m"],
    ...["llama1-7b", "llama1-13b", "llama1-33b", "llama1-65b"],
    ...["llama2-7b", "llama2-13b", "llama2-34b", "llama2-70b", "tinyllama-1.1b"],
    ...["llama3-8b", "llama3-70b", "llama3.1-8b", "llama3.1-70b", "llama3.1-405b"],
    ...["llama3.2-1b", "llama3.2-3b"],
    ...["palm-debug", "palm-110m", "palm-8b", "palm-62b", "palm-540b"],
  ];
  assert.deepEqual([...PRESET_NAMES].sort(), wanted.sort());
});

/** Names of the tables' models as presets. */
const IN_TABLES: Readonly<Record<string, string>> = {
  "Llama-2-7B": "llama2-7b",
  "Llama-2-70B": "llama2-70b",
  "Llama-3-8B": "llama3-8b",
  "TinyLlama-1.1B": "tinyllama-1.1b",
  stories15M: "llama-15m",
  "PaLM-8B": "palm-8b",
  "PaLM-540B": "palm-540b",
};

Deno.test("parameter counts equal the golden tables exactly", () => {
  const tables = JSON.parse(Deno.readTextFileSync(golden("tables/tables.json"))) as {
    param_counts: { model: string; n_params: number }[];
  };
  const rows = tables.param_counts.filter(({ model }) => Object.hasOwn(IN_TABLES, model));
  assert.equal(rows.length, Object.keys(IN_TABLES).length);
  for (const { model, n_params } of rows) assert.equal(count(IN_TABLES[model]!), n_params, model);
});

/** What the models' authors publish, in the digits that they give. */
const PUBLISHED: readonly (readonly [string, number | string])[] = [
  // LLaMA, table 2.
  ["llama1-7b", "6.7"],
  ["llama1-13b", "13.0"],
  ["llama1-33b", "32.5"],
  ["llama1-65b", "65.2"],
  // Sizes of the public weights.
  ["llama2-13b", 13_015_864_320],
  ["llama2-34b", 33_743_970_304],
  ["llama3-70b", 70_553_706_496],
  ["llama3.1-8b", 8_030_261_248],
  ["llama3.2-1b", 1_235_814_400],
  ["llama3.2-3b", 3_212_749_824],
  // PaLM, table 1.
  ["palm-8b", "8.63"],
  ["palm-62b", "62.50"],
  ["palm-540b", "540.35"],
];

Deno.test("parameter counts equal what the papers and model cards say", () => {
  for (const [name, published] of PUBLISHED) {
    const billions = count(name) / 1e9;
    if (typeof published === "number") {
      assert.equal(count(name), published, name);
      continue;
    }
    // The papers cut or round: 65.29 is their 65.2, 540.356 their 540.35.
    const step = 10 ** -(published.length - published.indexOf(".") - 1);
    assert.ok(Math.abs(billions - Number(published)) < step, `${name}: ${billions}`);
  }
});

Deno.test("the 405B has 405.85 billion parameters", () => {
  assert.equal((count("llama3.1-405b") / 1e9).toFixed(2), "405.85");
});

Deno.test("feed-forward widths follow from Meta's rule", () => {
  const rules: Readonly<Record<string, readonly [number, number?]>> = {
    "llama1-7b": [256],
    "llama1-33b": [256],
    "llama2-34b": [256],
    "llama2-70b": [4096, 1.3],
    "tinyllama-1.1b": [256],
    "llama3-8b": [1024, 1.3],
    "llama3.1-405b": [4096, 1.2],
    "llama3.2-1b": [256, 1.5],
    "llama3.2-3b": [256, 1],
    "llama-15m": [32],
    "llama-42m": [32],
    "llama-110m": [32],
  };
  for (const [name, [multipleOf, multiplier]] of Object.entries(rules)) {
    const { hiddenSize, intermediateSize } = presetOf(name).config;
    const wanted = feedForwardSize(hiddenSize, { multipleOf, multiplier });
    assert.equal(intermediateSize, wanted, name);
  }
});

Deno.test("every preset is a config that can be built, and its recipe adds up", () => {
  for (const name of PRESET_NAMES) {
    const { config, recipe } = presetOf(name);
    checkConfig(config, { file: name });
    assert.ok(recipe.lr > 0 && recipe.minLr < recipe.lr, name);
    assert.equal(recipe.batchTokens % recipe.seqLen, 0, `${name}: whole sequences`);
    assert.ok(recipe.seqLen <= config.maxPositionEmbeddings, name);
    assert.ok(recipe.tokens >= 100 * recipe.batchTokens, name);
    let step = 0;
    for (const stage of recipe.batchRamp) {
      assert.ok(stage.fromStep > step, `${name}: stages in order`);
      assert.equal(stage.batchTokens % (stage.seqLen ?? recipe.seqLen), 0, name);
      step = stage.fromStep;
    }
  }
});

Deno.test("the 405B's batch doubles after 252M and 2.87T tokens", () => {
  const { recipe } = presetOf("llama3.1-405b");
  let tokens = 0;
  let [step, batch] = [0, recipe.batchTokens];
  const reached = recipe.batchRamp.map((stage) => {
    tokens += (stage.fromStep - step) * batch;
    [step, batch] = [stage.fromStep, stage.batchTokens];
    return tokens;
  });
  assert.ok(Math.abs(reached[0]! - 252e6) < 2 ** 22);
  assert.ok(Math.abs(reached[1]! - 2.87e12) < 2 ** 23);
});

Deno.test("PaLM 540B's ramp takes 255,000 steps for its 780 billion tokens", () => {
  const { recipe } = presetOf("palm-540b");
  const stages = [{ fromStep: 0, batchTokens: recipe.batchTokens }, ...recipe.batchRamp];
  const tokens = stages.reduce((sum, stage, i) => {
    const end = stages[i + 1]?.fromStep ?? 255_000;
    return sum + (end - stage.fromStep) * stage.batchTokens;
  }, 0);
  assert.ok(Math.abs(tokens / recipe.tokens - 1) < 0.01, `${tokens}`);
});

Deno.test("small presets take the tokenizer's vocabulary, published ones refuse another", () => {
  const small = presetOf("llama-15m", { vocabSize: 4096, bosTokenId: 5, eosTokenIds: [6, 7] });
  assert.equal(small.config.vocabSize, 4096);
  assert.equal(small.config.bosTokenId, 5);
  assert.deepEqual(small.config.eosTokenIds, [6, 7]);
  assert.equal(count("llama-15m") - count("llama-15m", 4096), (32000 - 4096) * 288);
  assert.equal(presetOf("llama2-7b", { vocabSize: 32000 }).name, "llama2-7b");
  assert.throws(
    () => presetOf("llama2-7b", { vocabSize: 4096 }),
    (error: unknown) =>
      error instanceof ConfigError && /4096 tokens, the model's own 32000/.test(error.message),
  );
});

Deno.test("a misspelt preset gets a did-you-mean", () => {
  const hintOf = (name: string): string | undefined => {
    try {
      presetOf(name);
    } catch (error) {
      if (error instanceof ConfigError) return error.hint;
    }
    return undefined;
  };
  assert.match(hintOf("llama-2-7b") ?? "", /llama2-7b/);
  assert.match(hintOf("llama3.2-1B") ?? "", /llama3\.2-1b/);
  assert.match(hintOf("plam-8b") ?? "", /palm-8b/);
  assert.match(hintOf("tinyllama") ?? "", /tinyllama-1\.1b/);
  assert.match(hintOf("gpt2") ?? "", /llamero presets/);
});

Deno.test("names of objects' own properties are no presets", () => {
  for (const name of ["constructor", "__proto__", ""]) {
    assert.throws(() => presetOf(name), ConfigError);
  }
});

Deno.test("sizes tell a published model", () => {
  const sizes = { hiddenSize: 2048, intermediateSize: 5632, numHiddenLayers: 22 };
  assert.equal(presetLike(sizes)?.name, "tinyllama-1.1b");
  assert.equal(presetLike({ ...sizes, numHiddenLayers: 21 }), undefined);
});
