import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { parseConfig, type RequestedSettings } from "../../lib/train/config_file.ts";
import { formatConfig } from "../../lib/train/config_text.ts";
import { resolveRun } from "../../lib/train/run_config.ts";
import { parseBatchRamp, parseDataSetting, parseSkips } from "../../lib/train/setting_text.ts";

const vocabulary = { vocabSize: 1000, bosTokenId: 1, eosTokenIds: [2] };

function resolve(...requests: RequestedSettings[]) {
  const layers = requests.map((settings, i) => ({ settings, origin: () => `layer ${i}` }));
  return resolveRun(layers, { vocabulary });
}

Deno.test("a preset's recipe is the paper's where nothing else is asked for", () => {
  const layers = [{ settings: { preset: "llama2-7b" }, origin: () => "flag" }];
  const { settings, model } = resolveRun(layers, { vocabulary: {} });
  assert.equal(settings.lr, 3e-4);
  assert.equal(settings.minLr, 3e-5);
  assert.equal(settings.warmup, 2000);
  assert.equal(settings.weightDecay, 0.1);
  assert.equal(settings.clip, 1);
  assert.equal(settings.beta2, 0.95);
  assert.equal(settings.seqLen, 4096);
  assert.equal(settings.steps, Math.floor(2e12 / settings.batchTokens));
  assert.equal(model.numHiddenLayers, 32);
});

Deno.test("the first layer wins, and every value says where it came from", () => {
  const { settings, origins } = resolve({ lr: 1e-3 }, { preset: "llama-15m", lr: 5, clip: 2 });
  assert.equal(settings.lr, 1e-3);
  assert.equal(settings.clip, 2);
  assert.equal(origins.get("lr"), "layer 0");
  assert.equal(origins.get("clip"), "layer 1");
  assert.equal(origins.get("beta1"), "preset llama-15m");
  assert.equal(origins.get("recompute"), "default");
  // The end of the schedule keeps its share of the peak.
  assert.ok(Math.abs(settings.minLr - 1e-4) < 1e-12);
});

Deno.test("small presets take their vocabulary from the tokenizer, published ones refuse another", () => {
  assert.equal(resolve({ preset: "llama-15m" }).model.vocabSize, 1000);
  assert.throws(() => resolve({ preset: "llama2-7b" }), /the tokenizer has 1000 tokens/);
});

Deno.test("another optimizer brings the numbers of its own papers", () => {
  const { settings } = resolve({ preset: "llama-110m", optimizer: "adafactor" });
  assert.equal(settings.lr, 1e-2);
  assert.equal(settings.beta2, "1-k^-0.8");
  assert.equal(settings.schedule, "inverse-sqrt");
  assert.equal(settings.weightDecay, "lr^2");
  const back = resolve({ preset: "palm-110m", optimizer: "adamw" }).settings;
  assert.equal(back.beta2, 0.95);
  assert.equal(back.schedule, "cosine");
  assert.throws(
    () => resolve({ preset: "palm-110m", optimizer: "adamw", beta2: "1-k^-0.8" }),
    /its bias correction needs one/,
  );
});

Deno.test("steps follow from tokens, and from the epochs of the data where these say", () => {
  assert.equal(resolve({ preset: "llama-15m", tokens: 327_680 }).settings.steps, 10);
  const layers = [{ settings: { preset: "llama-15m" }, origin: () => "flag" }];
  const ofData = resolveRun(layers, { vocabulary, tokensOfData: () => 65_536 });
  assert.equal(ofData.settings.steps, 2);
  assert.throws(() => resolve({ preset: "llama-15m", tokens: 5 }), /a batch alone has 32,768/);
});

Deno.test("a short run rises for a tenth of its steps at most", () => {
  const { settings, origins } = resolve({ preset: "llama-15m", steps: 100 });
  assert.equal(settings.warmup, 10);
  assert.match(origins.get("warmup")!, /a tenth of the steps/);
  assert.equal(resolve({ preset: "llama-15m", steps: 100, warmup: 50 }).settings.warmup, 50);
});

Deno.test("config.toml reads back to the same run, without the preset", () => {
  const first = resolve({
    preset: "palm-debug",
    tokenizer: 'a "strange"\tname # é',
    data: [{ path: "c4", weight: 0.67, epochs: 1.1 }, { path: "books", weight: 0.33 }],
    evalData: ["held-out"],
    batchRamp: [{ fromStep: 5, batchTokens: 4096 }, {
      fromStep: 9,
      batchTokens: 8192,
      seqLen: 128,
    }],
    skipBatches: [{ step: 7, batches: 200 }],
    samplePrompt: "line 1\nline 2",
    lr: 1e-7,
  });
  const text = formatConfig(first);
  const read = parseConfig(text, "config.toml");
  const second = resolveRun([{ settings: read, origin: () => "file" }], { vocabulary: {} });
  assert.deepEqual(second.settings, first.settings);
  assert.deepEqual(second.model, first.model);
});

Deno.test("keys may be written with dashes, with underscores, or as in JavaScript", () => {
  const spellings = ["batch-tokens = 64", "batch_tokens = 64", "batchTokens = 64"];
  for (const text of spellings) assert.equal(parseConfig(text, "f").batchTokens, 64);
  assert.throws(() => parseConfig("batch-tokens = 64\nbatch_tokens = 65", "f"), /twice/);
});

Deno.test("a source of data is written as on the command line, or as a table", () => {
  const text = 'data = ["cc=67:1.10", "books"]';
  assert.deepEqual(parseConfig(text, "f").data, [
    { path: "cc", weight: 67, epochs: 1.1 },
    { path: "books" },
  ]);
  const table = '[[data]]\npath = "cc"\nweight = 67\n[[data]]\npath = "c4"\nepochs = 1.06';
  assert.deepEqual(parseConfig(table, "f").data, [
    { path: "cc", weight: 67 },
    { path: "c4", epochs: 1.06 },
  ]);
  assert.throws(() => parseConfig('[[data]]\npath = "cc"\nwieght = 6', "f"), ConfigError);
});

Deno.test("what is none of a flag's forms is told from what is", () => {
  assert.deepEqual(parseDataSetting("dir/x=0.5:2"), { path: "dir/x", weight: 0.5, epochs: 2 });
  assert.deepEqual(parseDataSetting("x=:2"), { path: "x", epochs: 2 });
  assert.deepEqual(parseDataSetting("C:/x"), { path: "C:/x" });
  for (const bad of ["x=", "x=a", "x=0", "x=1:0", "x=1:2:3"]) {
    assert.equal(parseDataSetting(bad), undefined, bad);
  }
  assert.deepEqual(parseBatchRamp("10:64,20:128:32"), [
    { fromStep: 10, batchTokens: 64 },
    { fromStep: 20, batchTokens: 128, seqLen: 32 },
  ]);
  assert.equal(parseBatchRamp("10"), undefined);
  assert.deepEqual(parseSkips("5:200"), [{ step: 5, batches: 200 }]);
  assert.equal(parseSkips("5:0"), undefined);
});

Deno.test("who asks for stages of each rank and for no schedule gets interleaved ones", () => {
  const pipelineOf = (...requests: RequestedSettings[]) => {
    const { settings } = resolve(...requests, { preset: "llama-15m" });
    return [settings.pipelineSchedule, settings.stagesPerRank];
  };
  assert.deepEqual(pipelineOf(), ["1f1b", 2]);
  assert.deepEqual(pipelineOf({ pipelineSchedule: "interleaved" }), ["interleaved", 2]);
  assert.deepEqual(pipelineOf({ stagesPerRank: 3 }), ["interleaved", 3]);
  assert.deepEqual(pipelineOf({ stagesPerRank: 3, pipelineSchedule: "1f1b" }), ["1f1b", 3]);
  // A run that goes on: flags, and the file that has every setting.
  const file = { pipelineSchedule: "1f1b", stagesPerRank: 2 } as const;
  assert.deepEqual(pipelineOf({}, file), ["1f1b", 2]);
  assert.deepEqual(pipelineOf({ stagesPerRank: 4 }, file), ["interleaved", 4]);
  assert.deepEqual(pipelineOf({ pipelineSchedule: "1f1b" }, { ...file, stagesPerRank: 4 }), [
    "1f1b",
    4,
  ]);
});
