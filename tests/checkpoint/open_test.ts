import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { writeSafetensors, writeSafetensorsShards } from "../../lib/formats/safetensors_write.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { ropeFrequencies } from "../../lib/model/rope.ts";
import { weightSpecs } from "../../lib/model/weights.ts";
import { golden, MODELS, testWith } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import {
  CONFIG,
  ggufMetadata,
  PARAMS,
  tensors,
  writeGgufModel,
  writeHuggingFace,
  writeMeta,
  writeWeights,
} from "./small_model.ts";

const GOLDEN: readonly (readonly [string, Partial<ModelConfig>])[] = [
  ["llama_mha", { numKeyValueHeads: 4, intermediateSize: 176, tieWordEmbeddings: false }],
  ["llama_gqa", { numKeyValueHeads: 2, intermediateSize: 192, vocabSize: 320 }],
  ["llama_gqa_tied", { numHiddenLayers: 3, tieWordEmbeddings: true }],
  ["llama3", { ropeTheta: 500000, numKeyValueHeads: 2, intermediateSize: 224 }],
  ["palm", { architecture: "palm", parallelBlock: true, headDim: 12 }],
];

for (const [name, wanted] of GOLDEN) {
  Deno.test(`the golden model ${name} opens with a record for every weight`, async () => {
    const { format, config, tensors, ropeLayout } = await openCheckpoint(golden(name));
    assert.equal(format, "hf");
    assert.equal(ropeLayout, "half");
    for (const [key, value] of Object.entries(wanted)) {
      assert.deepEqual(config[key as keyof ModelConfig], value, key);
    }
    assert.deepEqual([...tensors.keys()], weightSpecs(config).map((spec) => spec.name));
    for (const spec of weightSpecs(config)) {
      assert.deepEqual(tensors.get(spec.name)?.shape, spec.shape, spec.name);
    }
  });
}

Deno.test("a weight file other than the usual one is chosen by name or by path", async () => {
  const folder = golden("llama_gqa_tied");
  const byName = await openCheckpoint(folder, { file: "model_bf16.safetensors" });
  const byPath = await openCheckpoint(join(folder, "model_bf16.safetensors"));
  for (const { tensors, config } of [byName, byPath]) {
    assert.equal(tensors.get("embedding")?.dtype, "bf16");
    assert.equal(config.numHiddenLayers, 3);
  }
});

for (const name of ["llama_mha", "llama_gqa"]) {
  Deno.test(`${name}: Meta's twin has the same config, shapes and bytes but for q and k`, async () => {
    const huggingFace = await openCheckpoint(golden(name));
    const meta = await openCheckpoint(golden(`${name}/meta`));
    assert.equal(meta.format, "meta");
    assert.equal(meta.ropeLayout, "interleaved");
    // params.json says no context; Meta's default is 2048.
    assert.deepEqual(meta.config, { ...huggingFace.config, maxPositionEmbeddings: 2048 });
    for (const spec of weightSpecs(meta.config)) {
      const [a, b] = [huggingFace.tensors.get(spec.name)!, meta.tensors.get(spec.name)!];
      const same = Buffer.compare(await readTensor(a), await readTensor(b)) === 0;
      assert.equal(same, spec.ropeHeads === 0, spec.name);
    }
  });
}

const STORIES = join(MODELS, "stories260K");

testWith([STORIES], "stories260K opens in its three formats with one config", async () => {
  const huggingFace = await openCheckpoint(STORIES);
  const llama2c = await openCheckpoint(join(STORIES, "stories260K.bin"));
  const gguf = await openCheckpoint(join(STORIES, "stories260K-mixed.gguf"));
  assert.deepEqual([huggingFace.format, llama2c.format, gguf.format], ["hf", "llama2c", "gguf"]);
  assert.deepEqual(llama2c.config, huggingFace.config);
  assert.deepEqual({ ...gguf.config, eosTokenIds: [1, 2] }, huggingFace.config);
  assert.deepEqual(gguf.config.eosTokenIds, [2]);
  assert.equal(llama2c.ropeLayout, "interleaved");
  assert.equal(gguf.ropeLayout, "interleaved");
  assert.equal(gguf.tensors.get("layers.0.attention.v")?.dtype, "q5_1");
  assert.equal(gguf.tokenizerPath, join(STORIES, "stories260K-mixed.gguf"));
});

testWith([STORIES], "a llama2.c file's arrays are the weights of its twin", async () => {
  const huggingFace = await openCheckpoint(STORIES);
  const llama2c = await openCheckpoint(join(STORIES, "stories260K.bin"));
  for (const spec of weightSpecs(huggingFace.config)) {
    if (spec.ropeHeads > 0) continue;
    const [a, b] = [huggingFace.tensors.get(spec.name)!, llama2c.tensors.get(spec.name)!];
    assert.deepEqual(await readTensor(a), await readTensor(b), spec.name);
  }
});

Deno.test("an index comes before a single file, and other safetensors count for nothing", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const other = tensors("huggingFace", { layers: 1 });
    await writeSafetensors(join(folder, "zz.safetensors"), [...other.values()]);
    assert.deepEqual((await openCheckpoint(folder)).files, [join(folder, "model.safetensors")]);
    const sources = [...tensors("huggingFace").values()];
    await writeSafetensorsShards(folder, sources, { shardBytes: 1500, force: true });
    const { files, tensors: found } = await openCheckpoint(folder);
    assert.ok(files.length > 2, `${files.length} shards`);
    assert.ok(files.every((file) => /model-\d{5}-of-\d{5}\.safetensors$/.test(file)));
    assert.equal(found.size, 21);
  });
});

Deno.test("the index file itself names the model too", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const sources = [...tensors("huggingFace").values()];
    await writeSafetensorsShards(folder, sources, { shardBytes: 1500, force: true });
    const index = join(folder, "model.safetensors.index.json");
    assert.equal((await openCheckpoint(index)).tensors.size, 21);
  });
});

Deno.test("PyTorch weights open as safetensors do, whole or sharded, and come after them", async () => {
  await withFolder(async (folder) => {
    const all = tensors("huggingFace");
    await writeHuggingFace(folder, { file: "pytorch_model.bin" });
    const whole = await openCheckpoint(folder);
    assert.deepEqual(whole.files, [join(folder, "pytorch_model.bin")]);
    for (const [i, record] of [...whole.tensors.values()].entries()) {
      assert.deepEqual(await readTensor(record), [...all.values()][i]?.data, record.name);
    }
    const byPath = await openCheckpoint(join(folder, "pytorch_model.bin"));
    assert.equal(byPath.format, "hf");
    const weightMap: Record<string, string> = {};
    for (const part of [1, 2]) {
      const name = `pytorch_model-0000${part}-of-00002.bin`;
      const half = new Map([...all].filter((_, i) => i % 2 === part - 1));
      for (const tensor of half.keys()) weightMap[tensor] = name;
      await writeWeights(join(folder, name), half);
    }
    const index = JSON.stringify({ metadata: {}, weight_map: weightMap });
    Deno.writeTextFileSync(join(folder, "pytorch_model.bin.index.json"), index);
    const sharded = await openCheckpoint(folder);
    assert.equal(sharded.files.length, 2);
    assert.deepEqual(sharded.config, whole.config);
    await writeHuggingFace(folder);
    assert.deepEqual((await openCheckpoint(folder)).files, [join(folder, "model.safetensors")]);
  });
});

Deno.test("numbered and unnumbered consolidated files are Meta's, with params.json", async () => {
  const endings = ["safetensors", "00.safetensors", "00.pth", "pth"];
  for (const file of endings.map((ending) => `consolidated.${ending}`)) {
    await withFolder(async (folder) => {
      await writeMeta(folder, { file });
      for (const path of [folder, join(folder, file)]) {
        const { format, config } = await openCheckpoint(path);
        assert.equal(format, "meta");
        assert.equal(config.intermediateSize, 12);
        assert.equal(config.vocabSize, 16);
      }
    });
  }
});

Deno.test("a folder with config.json and params.json is Hugging Face's where its weights are", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    await writeMeta(folder);
    assert.equal((await openCheckpoint(folder)).format, "hf");
    Deno.removeSync(join(folder, "model.safetensors"));
    assert.equal((await openCheckpoint(folder)).format, "meta");
  });
});

Deno.test("a tied head that is stored too is passed over, tables of frequencies as well", async () => {
  await withFolder(async (folder) => {
    const all = tensors("huggingFace");
    const embedding = all.get("model.embed_tokens.weight")!;
    all.set("lm_head.weight", { ...embedding, name: "lm_head.weight" });
    const table = "model.layers.0.self_attn.rotary_emb.inv_freq";
    all.set(table, { name: table, dtype: "f32", shape: [2], data: new Uint8Array(8) });
    const config = { ...CONFIG, tie_word_embeddings: true };
    await writeHuggingFace(folder, { config, tensors: all });
    const { tensors: found } = await openCheckpoint(folder);
    assert.equal(found.size, 20);
    assert.equal(found.has("head"), false);
  });
});

Deno.test("generation_config.json beside the config adds ending tokens", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const path = join(folder, "generation_config.json");
    Deno.writeTextFileSync(path, '{"eos_token_id": [2, 9]}');
    assert.deepEqual((await openCheckpoint(folder)).config.eosTokenIds, [2, 9]);
  });
});

Deno.test("a byte order mark before config.json does no harm", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    Deno.writeTextFileSync(join(folder, "config.json"), `\ufeff${JSON.stringify(CONFIG)}`);
    assert.equal((await openCheckpoint(folder)).config.vocabSize, 16);
  });
});

Deno.test("a tokenizer beside the weights is found, Meta's also one folder up", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    assert.equal((await openCheckpoint(folder)).tokenizerPath, undefined);
    Deno.writeTextFileSync(join(folder, "tokenizer.json"), "{}");
    assert.equal((await openCheckpoint(folder)).tokenizerPath, folder);
    const inner = join(folder, "7B");
    Deno.mkdirSync(inner);
    await writeMeta(inner);
    assert.equal((await openCheckpoint(inner)).tokenizerPath, folder);
  });
});

Deno.test("a GGUF file says config, ties and grouped heads as a Hugging Face folder does", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const path = await writeGgufModel(folder);
    const [a, b] = [await openCheckpoint(folder), await openCheckpoint(path)];
    assert.deepEqual(b.config, { ...a.config });
    assert.equal(b.tokenizerPath, undefined);
  });
});

Deno.test("GGUF kv heads may be listed by layer where they agree", async () => {
  await withFolder(async (folder) => {
    const value = Int32Array.of(1, 1);
    const metadata = ggufMetadata().set("llama.attention.head_count_kv", {
      type: "array",
      of: "i32",
      value,
    });
    const path = await writeGgufModel(folder, { metadata });
    assert.equal((await openCheckpoint(path)).config.numKeyValueHeads, 1);
  });
});

// Heads of 4 have two frequencies; by theta the lower one is beyond the bounds, or between them.
for (const [where, ropeTheta] of [["beyond", 1e8], ["between", 1e6]] as const) {
  Deno.test(`Llama 3.1's stretching is read from GGUF rope factors ${where} its bounds`, async () => {
    const { ropeScaling } = presetOf("llama3.2-1b").config;
    assert.ok(ropeScaling !== undefined);
    const rope = { headDim: 4, ropeTheta };
    const plain = ropeFrequencies(rope);
    const stretched = ropeFrequencies({ ...rope, ropeScaling });
    const factors = Float32Array.from(plain, (frequency, i) => frequency / stretched[i]!);
    assert.equal(factors[1] === 32, where === "beyond");
    await withFolder(async (folder) => {
      const all = tensors("gguf");
      const name = "rope_freqs.weight";
      all.set(name, { name, dtype: "f32", shape: [2], data: new Uint8Array(factors.buffer) });
      const base = { type: "f32", value: ropeTheta } as const;
      const metadata = ggufMetadata().set("llama.rope.freq_base", base);
      const path = await writeGgufModel(folder, { metadata, tensors: all });
      assert.deepEqual((await openCheckpoint(path)).config.ropeScaling, ropeScaling);
    });
  });
}

Deno.test("params.json and config.json of the small model agree", async () => {
  await withFolder(async (folder) => {
    await writeMeta(folder, { params: { ...PARAMS, max_seq_len: 32 } });
    const meta = await openCheckpoint(folder);
    await writeHuggingFace(folder);
    assert.deepEqual(meta.config, (await openCheckpoint(folder)).config);
  });
});

const linear = (factor: number) => ({ type: "linear", factor });
const f32 = (value: number) => ({ type: "f32", value }) as const;
const text = (value: string) => ({ type: "string", value }) as const;

/** `1 + 0.1 ln(4)`. */
const YARN_MAGNITUDE = 1.1386294361119891;
const YARN = {
  "rope.scaling.type": text("yarn"),
  "rope.scaling.factor": f32(4),
  "rope.scaling.original_context_length": { type: "u32", value: 16 },
} as const;
const yarn = (change: Record<string, number>) => ({
  type: "yarn",
  factor: 4,
  betaFast: 32,
  betaSlow: 1,
  originalMaxPositionEmbeddings: 32,
  attentionFactor: YARN_MAGNITUDE,
  truncate: true,
  ...change,
});

// As llama.cpp takes them: a factor without a type is linear, and "none" leaves it out.
const SCALINGS: readonly (readonly [Record<string, GgufValue>, unknown])[] = [
  [{ "rope.scaling.type": text("linear"), "rope.scaling.factor": f32(4) }, linear(4)],
  [{ "rope.scaling.factor": f32(2.1) }, linear(2.1)],
  [{ "rope.scale_linear": f32(8) }, linear(8)],
  [{ "rope.scaling.factor": f32(4), "rope.scale_linear": f32(8) }, linear(4)],
  [{ "rope.scaling.type": text("none"), "rope.scaling.factor": f32(4) }, undefined],
  [{ "rope.scaling.type": text("linear") }, undefined],
  [{ "rope.scaling.factor": f32(0) }, undefined],
  [{ "rope.scaling.type": text("yarn"), "rope.scaling.factor": f32(4) }, yarn({})],
  // What llama.cpp multiplies its own 1 + 0.1 ln(factor) by.
  [
    { ...YARN, "rope.scaling.attn_factor": f32(0.5 / YARN_MAGNITUDE) },
    yarn({
      originalMaxPositionEmbeddings: 16,
      attentionFactor: 0.5,
    }),
  ],
  // What its converter makes of Hugging Face's fields.
  [
    {
      ...YARN,
      "rope.scaling.yarn_attn_factor": f32(0.7),
      "rope.scaling.yarn_beta_fast": f32(16),
      "rope.scaling.yarn_beta_slow": f32(2),
    },
    yarn({ originalMaxPositionEmbeddings: 16, attentionFactor: 0.7, betaFast: 16, betaSlow: 2 }),
  ],
];
Deno.test("a GGUF file says in its keys by what factor positions are stretched", async () => {
  for (const [keys, wanted] of SCALINGS) {
    await withFolder(async (folder) => {
      const metadata = ggufMetadata();
      for (const [key, value] of Object.entries(keys)) metadata.set(`llama.${key}`, value);
      const path = await writeGgufModel(folder, { metadata });
      assert.deepEqual((await openCheckpoint(path)).config.ropeScaling, wanted);
    });
  }
});

Deno.test("a GGUF file with a scaling that is not known is refused", async () => {
  await withFolder(async (folder) => {
    const wanted: readonly (readonly [Record<string, GgufValue>, RegExp])[] = [
      [{ type: text("su") }, /"llama.rope.scaling.type" is "su", "linear", "yarn" or "none" was/],
      [{ type: text("yarn"), yarn_ext_factor: f32(0.5) }, /yarn_ext_factor" is 0.5, 1 was wanted/],
      [{ type: text("yarn"), yarn_log_multiplier: f32(1) }, /log_multiplier" is 1, 0 was wanted/],
      // llama.cpp multiplies by it whatever the type.
      [{ attn_factor: f32(1.5) }, /"llama.rope.scaling.attn_factor" is 1.5, 1 without YaRN was/],
    ];
    for (const [keys, message] of wanted) {
      const metadata = ggufMetadata();
      for (const [key, value] of Object.entries(keys)) {
        metadata.set(`llama.rope.scaling.${key}`, value);
      }
      const path = await writeGgufModel(folder, { metadata });
      await assert.rejects(() => openCheckpoint(path), message);
      await Deno.remove(path);
    }
  });
});
