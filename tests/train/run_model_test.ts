import assert from "node:assert/strict";
import { type ModelConfig } from "../../lib/model/config.ts";
import { parseHuggingFaceConfig, toHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { resolveRun } from "../../lib/train/run_config.ts";

const vocabulary = { vocabSize: 1000, bosTokenId: 1, eosTokenIds: [2] };
const SIZES = { hiddenSize: 48, numHiddenLayers: 2, numAttentionHeads: 3 };

/** The model of a run of the given fields. */
function modelOf(
  model: Partial<ModelConfig>,
  { preset, initConfig }: { readonly preset?: string; readonly initConfig?: ModelConfig } = {},
): ModelConfig {
  const settings = { preset, model, seqLen: 40, batchTokens: 80, steps: 2 };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  const layer = { settings: Object.fromEntries(given), origin: () => "own.toml" };
  return resolveRun([layer], { vocabulary, initConfig }).model;
}

Deno.test("a Llama's sizes alone make one: heads and positions as Hugging Face has them by default", () => {
  const model = modelOf({ ...SIZES, intermediateSize: 100 });
  const { norm, parallelBlock, logitsScale, zLoss, headDim, numKeyValueHeads } = model;
  assert.deepEqual(
    { norm, parallelBlock, logitsScale, zLoss, headDim, numKeyValueHeads },
    {
      norm: "rms",
      parallelBlock: false,
      logitsScale: 1,
      zLoss: 0,
      headDim: 16,
      numKeyValueHeads: 3,
    },
  );
  assert.equal(model.maxPositionEmbeddings, 40);
});

Deno.test("a PaLM's sizes alone make one, by section 2 of the paper", () => {
  const model = modelOf({ architecture: "palm", ...SIZES });
  assert.equal(model.norm, "layer");
  assert.equal(model.parallelBlock, true);
  assert.equal(model.tieWordEmbeddings, true);
  assert.equal(model.numKeyValueHeads, 1);
  assert.equal(model.intermediateSize, 4 * 48);
  assert.equal(model.logitsScale, 1 / Math.sqrt(48));
  assert.equal(model.zLoss, 1e-4);
});

Deno.test("what follows from a preset's sizes follows from others", () => {
  const palm = modelOf({ hiddenSize: 144 }, { preset: "palm-debug" });
  assert.equal(palm.logitsScale, 1 / 12);
  assert.equal(palm.intermediateSize, 576);
  assert.equal(modelOf({ numAttentionHeads: 2 }, { preset: "debug" }).headDim, 32);
  assert.equal(modelOf({ headDim: 8 }, { preset: "debug" }).headDim, 8);
  // A preset of one family and the other's name: the other's norm, block and scale.
  const turned = modelOf({ architecture: "palm" }, { preset: "debug" });
  assert.deepEqual([turned.norm, turned.parallelBlock, turned.logitsScale], ["layer", true, 1 / 8]);
});

Deno.test("the model that weights begin as keeps what is its own", () => {
  const own = { ...presetOf("palm-debug", vocabulary).config, logitsScale: 0.3, headDim: 6 };
  const model = modelOf({}, { initConfig: own });
  assert.equal(model.logitsScale, 0.3);
  assert.equal(model.headDim, 6);
});

Deno.test("a model is refused where a size is missing, or where its checkpoints would be another", () => {
  assert.throws(() => modelOf(SIZES), /"own.toml": \[model\] has no "intermediate-size"/);
  assert.throws(
    () => modelOf({ ...SIZES, intermediateSize: 100, numAttentionHeads: 5 }),
    /"head-dim" is 9.6, a whole number/,
  );
  const sizes = { ...SIZES, intermediateSize: 100 };
  for (
    const [fields, refusal] of [
      [{ norm: "layer" }, /has "norm" layer, and a Llama's checkpoints .* "norm" rms/],
      [{ parallelBlock: true }, /has "parallel-block" true, .* "parallel_block" false/],
      [{ logitsScale: 0.5 }, /has "logits-scale" 0.5, .* "logits_scale" 1/],
    ] as const
  ) {
    assert.throws(() => modelOf({ ...sizes, ...fields }), refusal);
    const palm = modelOf({ ...sizes, ...fields, architecture: "palm" });
    const [[name, value]] = Object.entries(fields) as [[keyof ModelConfig, unknown]];
    assert.equal(palm[name], value);
  }
});

Deno.test("a PaLM with T5X's RMSNorm comes back from its config.json as one", () => {
  for (const norm of ["rms", "layer"] as const) {
    const model = modelOf({ architecture: "palm", ...SIZES, norm, normEps: 1e-3 });
    const json = JSON.parse(JSON.stringify(toHuggingFaceConfig(model)));
    assert.deepEqual(parseHuggingFaceConfig(json, "config.json"), model);
  }
});
