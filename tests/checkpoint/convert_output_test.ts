import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { convertCheckpoint } from "../../lib/checkpoint/convert.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { readGguf } from "../../lib/formats/gguf.ts";
import { writeGguf } from "../../lib/formats/gguf_write.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { golden, MODELS, testWith } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import { assertSameTensors, converted, makeModel } from "./made_model.ts";
import { ggufMetadata, tensors, writeHuggingFace } from "./small_model.ts";

const read = (...path: string[]): string => Deno.readTextFileSync(join(...path));

function numbers(record: TensorRecord): number[] {
  return [...tensorValues(record)!].flatMap((chunk) => [...chunk]);
}

Deno.test("shards have at most the size that was asked for, and an index", async () => {
  await withFolder(async (folder) => {
    const source = await openCheckpoint(golden("llama_gqa"));
    const path = join(folder, "hf");
    const shardBytes = 100_000;
    const { files, tensors, bytes } = await convertCheckpoint(source, {
      path,
      to: "hf",
      shardBytes,
    });
    const names = files.map((file) => basename(file));
    const shards = names.filter((name) => name.endsWith(".safetensors"));
    assert.ok(shards.length > 3, `${shards}`);
    const total = `${shards.length}`.padStart(5, "0");
    assert.deepEqual(
      shards,
      shards.map((_, i) => `model-${`${i + 1}`.padStart(5, "0")}-of-${total}.safetensors`),
    );
    for (const name of shards) {
      // The header stands beside the tensors that are counted.
      assert.ok(Deno.statSync(join(path, name)).size < shardBytes + 3000, name);
    }
    const index = JSON.parse(read(path, "model.safetensors.index.json"));
    assert.equal(index.metadata.total_size, bytes);
    assert.equal(Object.keys(index.weight_map).length, tensors);
    assert.deepEqual([...Deno.readDirSync(path)].map(({ name }) => name).sort(), names.sort());
    const back = await openCheckpoint(path);
    assert.equal(back.files.length, shards.length);
    await assertSameTensors(back, source);
  });
});

Deno.test("a Hugging Face model keeps its config files byte by byte where nothing changes", async () => {
  await withFolder(async (folder) => {
    const model = join(folder, "model");
    await makeModel(model, { dtype: "bf16" });
    const config = `${
      read(model, "config.json").slice(0, -1)
    }, "torch_dtype":\n"bfloat16", "x": 1e-05}`;
    const generation = '{ "eos_token_id": [2, 5],\n"top_p":0.90 }';
    Deno.writeTextFileSync(join(model, "config.json"), config);
    Deno.writeTextFileSync(join(model, "generation_config.json"), generation);
    const source = await openCheckpoint(model);
    const [same, wider] = [join(folder, "same"), join(folder, "wider")];
    await convertCheckpoint(source, { path: same, to: "hf" });
    assert.equal(read(same, "config.json"), config);
    assert.equal(read(same, "generation_config.json"), generation);
    await convertCheckpoint(source, { path: wider, to: "hf", dtype: "f32" });
    const wanted = { ...JSON.parse(config), torch_dtype: "float32" };
    assert.deepEqual(JSON.parse(read(wider, "config.json")), wanted);
  });
});

Deno.test("a config that is made has floats where transformers wants them, and loads its tokens", async () => {
  await withFolder(async (folder) => {
    const scaling = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const rope_scaling = { ...scaling, original_max_position_embeddings: 8192 };
    const config = { rope_scaling, hidden_size: 64, eos_token_id: [2, 3, 5] };
    const source = await makeModel(join(folder, "source"), { config });
    const gguf = await converted(source, { path: join(folder, "x.gguf"), to: "gguf" });
    const path = join(folder, "hf");
    const back = await converted(gguf, { path, to: "hf" });
    assert.deepEqual(back.config, source.config);
    const text = read(path, "config.json");
    for (const field of ["rope_theta", "factor", "low_freq_factor", "high_freq_factor"]) {
      assert.match(text, new RegExp(`"${field}": \\d+\\.\\d`));
    }
    const generation = JSON.parse(read(path, "generation_config.json"));
    assert.deepEqual(generation, { bos_token_id: 1, eos_token_id: [2, 3, 5] });
  });
});

Deno.test("a type that is asked for is every weight's, but for norms in GGUF", async () => {
  await withFolder(async (folder) => {
    const source = await openCheckpoint(golden("llama_gqa"));
    for (const dtype of ["f16", "bf16", "f32"] as const) {
      for (const to of ["hf", "meta", "gguf"] as const) {
        const is = await converted(source, { path: join(folder, `${dtype}-${to}`), to, dtype });
        for (const [name, record] of is.tensors) {
          const isNorm = record.shape.length === 1;
          assert.equal(record.dtype, to === "gguf" && isNorm ? "f32" : dtype, `${to} ${name}`);
        }
      }
    }
    const { metadata } = await readGguf(join(folder, "bf16-gguf"));
    // llama.cpp's LLAMA_FTYPE_MOSTLY_BF16.
    assert.deepEqual(metadata.get("general.file_type"), { type: "u32", value: 32 });
  });
});

Deno.test("bfloat16 numbers come back from a float32 file as they were", async () => {
  await withFolder(async (folder) => {
    const file = "model_bf16.safetensors";
    const source = await openCheckpoint(golden("llama_gqa_tied"), { file });
    assert.equal(source.tensors.get("embedding")!.dtype, "bf16");
    const wide = await converted(source, { path: join(folder, "x.bin"), to: "llama2c" });
    assert.equal(wide.tensors.get("embedding")!.dtype, "f32");
    const path = join(folder, "back");
    await assertSameTensors(await converted(wide, { path, to: "hf", dtype: "bf16" }), source);
  });
});

Deno.test("numbers beyond float16 are told by tensor and count", async () => {
  await withFolder(async (folder) => {
    const all = tensors("huggingFace");
    const name = "model.layers.0.mlp.up_proj.weight";
    const values = new Float32Array(96);
    values.set([1e6, -7e4, 65504, Infinity]);
    all.set(name, { name, dtype: "f32", shape: [12, 8], data: new Uint8Array(values.buffer) });
    await writeHuggingFace(folder, { tensors: all });
    const source = await openCheckpoint(folder);
    const path = join(folder, "x.gguf");
    const { warnings } = await convertCheckpoint(source, { path, to: "gguf", dtype: "f16" });
    assert.deepEqual(warnings, [
      "tensor blk.0.ffn_up.weight had 2 numbers beyond f16's largest (65504), now infinite",
    ]);
  });
});

Deno.test("what a format does not say of the tokens is told", async () => {
  await withFolder(async (folder) => {
    const config = { bos_token_id: 3, eos_token_id: [4, 5, 6, 7] };
    const source = await makeModel(join(folder, "source"), { config });
    const notes = async (to: "gguf" | "meta" | "llama2c") =>
      (await convertCheckpoint(source, { path: join(folder, `${to}.bin`), to })).notes;
    const begins = "begins texts with token 3 and ends them with token 4 or 5 or 6 or 7";
    assert.deepEqual(await notes("llama2c"), [`llama2.c does not know that the model ${begins}`]);
    assert.deepEqual(await notes("meta"), [`params.json does not say that the model ${begins}`]);
    assert.deepEqual(await notes("gguf"), [
      "the file does not say that the model ends them with token 7",
    ]);
  });
});

Deno.test("a GGUF file keeps its own keys, loses its cutting, and gets the type it has", async () => {
  await withFolder(async (folder) => {
    const metadata = ggufMetadata()
      .set("general.license", { type: "string", value: "mit" })
      .set("general.file_type", { type: "u32", value: 0 })
      .set("split.no", { type: "u16", value: 0 })
      .set("split.count", { type: "u16", value: 1 });
    const path = join(folder, "a.gguf");
    await writeGguf(path, [...tensors("gguf").values()], { metadata });
    const out = join(folder, "b.gguf");
    await convertCheckpoint(await openCheckpoint(path), { path: out, to: "gguf", dtype: "f16" });
    const wanted = new Map(metadata).set("general.file_type", { type: "u32", value: 1 });
    for (const key of ["split.no", "split.count"]) wanted.delete(key);
    assert.deepEqual((await readGguf(out)).metadata, wanted);
  });
});

/** A GGUF model whose rows are long enough for blocks of q4_k. */
async function writeBlocks(path: string): Promise<void> {
  const u32 = (value: number) => ({ type: "u32", value }) as const;
  const metadata = ggufMetadata()
    .set("llama.embedding_length", u32(256))
    .set("llama.block_count", u32(1))
    .set("llama.feed_forward_length", u32(256));
  const rowsOf = (name: string): number =>
    /^(token_embd|output\.)/.test(name) ? 16 : /attn_[kv]\./.test(name) ? 128 : 256;
  const norm = Float32Array.from({ length: 256 }, (_, i) => 1 + i / 64);
  const all = [...tensors("gguf", { layers: 1 }).values()].map(({ name, shape }, seed) => {
    const rows = rowsOf(name);
    // Any bytes are blocks; the mask keeps their half-precision scales finite.
    const blocks = Uint8Array.from(
      { length: 144 * rows },
      (_, i) => (((i + 1) * (2654435761 + seed)) >>> 13) & 0xbb,
    );
    return shape.length === 1
      ? { name, dtype: "f32", shape: [256], data: new Uint8Array(norm.buffer) }
      : { name, dtype: "q4_k", shape: [rows, 256], data: blocks };
  });
  await writeGguf(path, all, { metadata });
}

Deno.test("blocks are copied from GGUF to GGUF, and elsewhere become the numbers they stand for", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "a.gguf");
    await writeBlocks(path);
    const source = await openCheckpoint(path);
    await assertSameTensors(
      await converted(source, { path: join(folder, "b.gguf"), to: "gguf" }),
      source,
    );
    const plan = { path: join(folder, "meta"), to: "meta" as const };
    const { notes, types } = await convertCheckpoint(source, plan);
    assert.deepEqual(types, ["f32"]);
    assert.ok(
      notes.includes("q4_k weights became f32, which the format holds and which loses nothing"),
    );
    const meta = await openCheckpoint(plan.path);
    for (const [name, record] of source.tensors) {
      assert.deepEqual(numbers(meta.tensors.get(name)!), numbers(record), name);
    }
    // Queries and keys change their order only once they are numbers.
    const hf = await converted(source, { path: join(folder, "hf"), to: "hf" });
    const back = await converted(hf, { path: join(folder, "meta2"), to: "meta" });
    await assertSameTensors(back, meta);
  });
});

const mixed = join(MODELS, "stories260K/stories260K-mixed.gguf");
testWith(
  [mixed],
  "a mixed quantized model becomes float32 exactly and float16 by one rounding",
  async () => {
    await withFolder(async (folder) => {
      const source = await openCheckpoint(mixed);
      const wide = await converted(source, { path: join(folder, "wide"), to: "meta" });
      const half = await converted(source, {
        path: join(folder, "half"),
        to: "meta",
        dtype: "f16",
      });
      for (const [name, record] of source.tensors) {
        const exact = numbers(record);
        assert.deepEqual(numbers(wide.tensors.get(name)!), exact, name);
        const rounded = [...new Float16Array(exact)];
        assert.deepEqual(numbers(half.tensors.get(name)!), rounded, name);
      }
    });
  },
);
