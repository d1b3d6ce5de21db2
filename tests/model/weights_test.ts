import assert from "node:assert/strict";
import { llama2cSlots } from "../../lib/formats/llama2c_layout.ts";
import { parseHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { countParameters } from "../../lib/model/parameters.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { weightSpecs } from "../../lib/model/weights.ts";
import { golden } from "../fixtures.ts";

function configOf(name: string) {
  const file = golden(`${name}/config.json`);
  return parseHuggingFaceConfig(JSON.parse(Deno.readTextFileSync(file)), file);
}

for (const name of ["llama_mha", "llama_gqa", "llama_gqa_tied", "llama3", "llama31", "palm"]) {
  Deno.test(`${name}: the table names exactly the reference's parameters, in its order`, () => {
    const expected = JSON.parse(Deno.readTextFileSync(golden(`${name}/expected.json`))) as {
      n_params: number;
      shapes: Record<string, number[]>;
    };
    const config = configOf(name);
    const specs = weightSpecs(config);
    const shapes = specs.map((spec) => [spec.names.huggingFace, [...spec.shape]]);
    assert.deepEqual(shapes, Object.entries(expected.shapes));
    assert.equal(countParameters(config).total, expected.n_params);
  });
}

Deno.test("names in every scheme are unique, and canonical ones are the specs' names", () => {
  const specs = weightSpecs(configOf("llama_mha"));
  for (const scheme of ["canonical", "huggingFace", "meta", "gguf"] as const) {
    assert.equal(new Set(specs.map((spec) => spec.names[scheme])).size, specs.length);
  }
  for (const spec of specs) assert.equal(spec.names.canonical, spec.name);
  assert.ok(specs.every((spec) => !JSON.stringify(spec.names).includes("{i}")));
});

Deno.test("matrices decay and norms do not", () => {
  for (const spec of weightSpecs(configOf("llama_gqa"))) {
    assert.equal(spec.decayed, spec.shape.length === 2, spec.name);
  }
});

Deno.test("only rows of q and k depend on the rotary layout, by their heads", () => {
  const rope = weightSpecs(configOf("llama_gqa")).filter((spec) => spec.ropeHeads > 0);
  assert.deepEqual(rope.map((spec) => [spec.role, spec.ropeHeads]), [
    ["attention.q", 8],
    ["attention.k", 2],
    ["attention.q", 8],
    ["attention.k", 2],
  ]);
});

Deno.test("tensor parallelism splits what widens by rows of output and what narrows by columns", () => {
  const split = (axis: 0 | 1 | undefined) =>
    new Set(
      weightSpecs(configOf("llama_mha")).filter((spec) => spec.split === axis)
        .map((spec) => spec.role),
    );
  assert.deepEqual(split(1), new Set(["attention.output", "feed_forward.down"]));
  assert.deepEqual(
    split(undefined),
    new Set(["attention_norm", "feed_forward_norm", "final_norm"]),
  );
});

Deno.test("positions in a llama2.c file are those of its reader", () => {
  const { config } = presetOf("llama2-7b");
  const slots = llama2cSlots({
    version: 0,
    dim: 8,
    hiddenDim: 16,
    layers: 1,
    heads: 2,
    kvHeads: 1,
    vocabSize: 4,
    sequenceLength: 4,
    sharedClassifier: false,
  });
  const byPosition = [...weightSpecs({ ...config, numHiddenLayers: 1 })]
    .sort((a, b) => a.llama2c - b.llama2c);
  for (const spec of byPosition) assert.equal(slots[spec.llama2c]?.name, spec.names.meta);
});

Deno.test("parameters by role, block, embedding and head add up", () => {
  for (const name of ["llama3-8b", "palm-62b", "llama3.2-1b"]) {
    const { config } = presetOf(name);
    const { total, byRole, block, embedding, head } = countParameters(config);
    assert.equal(Object.values(byRole).reduce((a, b) => a + b), total);
    const outside = embedding + head + config.hiddenSize;
    assert.equal(outside + config.numHiddenLayers * block, total);
    assert.equal(head, config.tieWordEmbeddings ? 0 : embedding);
  }
});
