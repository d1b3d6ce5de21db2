import assert from "node:assert/strict";
import { join } from "node:path";
import { readLlama2c } from "../../lib/formats/llama2c.ts";
import { writeLlama2c } from "../../lib/formats/llama2c_write.ts";
import type { Llama2cHeader } from "../../lib/formats/llama2c_layout.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import type { TensorRecord, TensorSource } from "../../lib/formats/tensor_file.ts";
import { golden, MODELS, testWith } from "../fixtures.ts";
import { bytesOf, f32, put, refused, u32, withFolder } from "./folder.ts";
import { sourcesOf } from "./sources.ts";

const BIN = join(MODELS, "stories260K/stories260K.bin");
const HF = join(MODELS, "stories260K/model.safetensors");

async function floats(record: TensorRecord | undefined): Promise<Float32Array> {
  return new Float32Array((await readTensor(record!)).buffer as ArrayBuffer);
}

testWith(
  [BIN, HF],
  "the real stories260K.bin has the tensors of its Hugging Face twin",
  async () => {
    const bin = await readLlama2c(BIN);
    assert.deepEqual(bin.header, {
      ...{ version: 0, dim: 64, hiddenDim: 172, layers: 5, heads: 8, kvHeads: 4, vocabSize: 512 },
      ...{ sequenceLength: 512, sharedClassifier: true },
    });
    const hf = await readSafetensors(HF);
    const twins = [
      ["tok_embeddings.weight", "model.embed_tokens.weight"],
      ["layers.3.attention_norm.weight", "model.layers.3.input_layernorm.weight"],
      ["layers.4.attention.wv.weight", "model.layers.4.self_attn.v_proj.weight"],
      ["layers.0.attention.wo.weight", "model.layers.0.self_attn.o_proj.weight"],
      ["layers.2.ffn_norm.weight", "model.layers.2.post_attention_layernorm.weight"],
      ["layers.1.feed_forward.w1.weight", "model.layers.1.mlp.gate_proj.weight"],
      ["layers.1.feed_forward.w2.weight", "model.layers.1.mlp.down_proj.weight"],
      ["layers.4.feed_forward.w3.weight", "model.layers.4.mlp.up_proj.weight"],
      ["norm.weight", "model.norm.weight"],
    ] as const;
    for (const [meta, name] of twins) {
      assert.deepEqual(bin.records.get(meta)?.shape, hf.records.get(name)?.shape);
      assert.deepEqual(
        await readTensor(bin.records.get(meta)!),
        await readTensor(hf.records.get(name)!),
      );
    }
    // Interleaved rows: row 2i + j of a head is row i + j d/2 of the Hugging Face layout; here d = 8.
    const ours = await floats(bin.records.get("layers.2.attention.wk.weight"));
    const theirs = await floats(hf.records.get("model.layers.2.self_attn.k_proj.weight"));
    for (const [row, from] of [[0, 0], [1, 4], [2, 1], [7, 7], [8, 8], [9, 12]] as const) {
      assert.deepEqual(
        ours.subarray(row * 64, row * 64 + 64),
        theirs.subarray(from * 64, from * 64 + 64),
      );
    }
  },
);

testWith(
  [BIN],
  "the real file written again has the same bytes but for the rotary tables",
  async () => {
    await withFolder(async (folder) => {
      const { header, records } = await readLlama2c(BIN);
      const path = join(folder, "again.bin");
      await writeLlama2c(path, sourcesOf(records.values()).reverse(), { header });
      const [again, original] = [Deno.readFileSync(path), Deno.readFileSync(BIN)];
      assert.equal(again.length, original.length);
      // Shared classifier: the two tables of 512 x 4 float32 are the file's end.
      const tables = original.length - 2 * 512 * 4 * 4;
      assert.deepEqual(again.subarray(0, tables), original.subarray(0, tables));
      const [a, b] = [again, original].map((bytes) => new Float32Array(bytes.slice(tables).buffer));
      for (const [i, value] of a!.entries()) assert.ok(Math.abs(value - b![i]!) < 1e-4);
    });
  },
);

/** The golden GQA model under Meta's names, with a header that fits it. */
async function metaModel(): Promise<{ header: Llama2cHeader; tensors: TensorSource[] }> {
  const { records } = await readSafetensors(golden("llama_gqa/meta/consolidated.safetensors"));
  const params = JSON.parse(Deno.readTextFileSync(golden("llama_gqa/meta/params.json")));
  const hiddenDim = records.get("layers.0.feed_forward.w1.weight")!.shape[0]!;
  const tensors = sourcesOf(records.values()).filter((tensor) => tensor.name !== "rope.freqs");
  return {
    tensors,
    header: {
      ...{ version: 0, dim: params.dim, hiddenDim, layers: params.n_layers, heads: params.n_heads },
      ...{ kvHeads: params.n_kv_heads, vocabSize: records.get("output.weight")!.shape[0]! },
      ...{ sequenceLength: 40, sharedClassifier: false },
    },
  };
}

for (const version of [0, 1] as const) {
  Deno.test(`an untied model written as version ${version} reads back bit for bit`, async () => {
    await withFolder(async (folder) => {
      const model = await metaModel();
      const header = { ...model.header, version };
      const path = join(folder, "model.bin");
      await writeLlama2c(path, model.tensors, { header });
      const file = await readLlama2c(path);
      assert.deepEqual(file.header, header);
      assert.equal(file.records.size, model.tensors.length);
      for (const tensor of model.tensors) {
        const chunks = [...(tensor.data as () => Iterable<Uint8Array>)()].map((chunk) =>
          chunk.slice()
        );
        assert.deepEqual(await readTensor(file.records.get(tensor.name)!), bytesOf(...chunks));
      }
    });
  });
}

Deno.test("version 2 keeps each group within half a step of the original, and norms exactly", async () => {
  await withFolder(async (folder) => {
    const model = await metaModel();
    const header: Llama2cHeader = { ...model.header, version: 2, groupSize: 32 };
    const path = join(folder, "int8.bin");
    await writeLlama2c(path, model.tensors, { header });
    const file = await readLlama2c(path);
    assert.deepEqual(file.header, header);
    const original = await readSafetensors(golden("llama_gqa/meta/consolidated.safetensors"));
    for (const record of file.records.values()) {
      const [read, wanted] = [
        await floats(record),
        await floats(original.records.get(record.name)),
      ];
      assert.equal(read.length, wanted.length);
      if (record.stored === undefined) {
        assert.deepEqual(read, wanted);
        continue;
      }
      for (let group = 0; group < wanted.length; group += 32) {
        const values = wanted.subarray(group, group + 32);
        const step = Math.max(...values.map(Math.abs)) / 127;
        for (const [i, value] of values.entries()) {
          assert.ok(Math.abs(read[group + i]! - value) <= step * 0.50001);
        }
      }
    }
  });
});

Deno.test("int8 groups are read as byte times scale, whatever the chunk", async () => {
  await withFolder(async (folder) => {
    // dim 2, hidden 2, 1 block, 1 head, vocabulary 2, groups of 2: every matrix is 4 bytes and 2 scales.
    const header = bytesOf(
      "24ka",
      ...[2, 2, 2, 1, 1, 1, 2, 8].map(u32),
      [1],
      u32(2),
      new Uint8Array(215),
    );
    assert.equal(header.length, 256);
    const matrix = bytesOf([1, 255, 127, 129], f32(0.5, 0.1));
    const bytes = bytesOf(header, f32(1, 2, 3, 4, 5, 6), ...Array<Uint8Array>(8).fill(matrix));
    const { records } = await readLlama2c(put(folder, "tiny.bin", bytes));
    assert.deepEqual(await readTensor(records.get("norm.weight")!), f32(5, 6));
    const scale = Math.fround(0.1);
    for (const name of ["tok_embeddings.weight", "layers.0.feed_forward.w3.weight"]) {
      assert.deepEqual(
        await readTensor(records.get(name)!),
        f32(0.5, -0.5, 127 * scale, -127 * scale),
      );
    }
  });
});

Deno.test("llama2.c files whose header and length disagree are refused", async () => {
  await withFolder(async (folder) => {
    const good = [2, 2, 1, 1, 1, 2, 4];
    const size = 4 * (2 * 2 + 2 + 4 * 4 + 2 + 3 * 4 + 2 + 2 * 4);
    const bin = (numbers: readonly number[], bytes: number): Uint8Array =>
      bytesOf(...numbers.map(u32), new Uint8Array(bytes));
    await readLlama2c(put(folder, "good.bin", bin(good, size)));
    await readLlama2c(put(folder, "untied.bin", bin(good.with(5, -2), size + 16)));
    const bad: readonly [name: string, bytes: Uint8Array, pattern: RegExp][] = [
      ["empty", new Uint8Array(), /has 0 bytes/],
      ["cut", bin(good, size - 1), /needs 212/],
      ["long", bin(good, size + 1), /needs 212/],
      ["untied cut", bin(good.with(5, -2), size), /needs 228/],
      ["dim 0", bin(good.with(0, 0), size), /dim 0, wanted 1 or more/],
      ["dim huge", bin(good.with(0, 2 ** 31 - 2), size), /needs/],
      ["dim odd", bin(good.with(0, 3), size), /dim 3 is no even multiple/],
      ["layers huge", bin(good.with(2, 2 ** 31 - 1), size), /n_layers is 2147483647/],
      ["heads 0", bin(good.with(3, 0), size), /n_heads 0/],
      ["heads negative", bin(good.with(3, -1), size), /n_heads -1/],
      ["kv heads 0", bin(good.with(4, 0), size), /n_kv_heads 0/],
      ["kv heads 2", bin(good.with(4, 2), size), /n_heads 1 is no multiple of its n_kv_heads 2/],
      ["vocabulary 0", bin(good.with(5, 0), size), /vocab_size 0/],
      ["vocabulary least", bin(good.with(5, -(2 ** 31)), size), /vocab_size 2147483648/],
      ["context 0", bin(good.with(6, 0), size), /max_seq_len 0/],
      ["version 3", bytesOf("24ka", u32(3), new Uint8Array(300)), /version is 3/],
      ["version 1 short", bytesOf("24ka", u32(1), ...good.map(u32)), /header alone has 256/],
      [
        "shared 2",
        bytesOf("24ka", u32(1), ...good.map(u32), [2], new Uint8Array(300)),
        /shared_classifier is 2/,
      ],
      [
        "group 0",
        bytesOf("24ka", u32(2), ...good.map(u32), [1], u32(0), new Uint8Array(300)),
        /group_size is 0/,
      ],
      [
        "group 3",
        bytesOf("24ka", u32(2), ...good.map(u32), [1], u32(3), new Uint8Array(300)),
        /group_size is 3/,
      ],
    ];
    for (const [name, bytes, pattern] of bad) {
      const path = put(folder, `${name}.bin`, bytes);
      await refused(`${name}.bin`, pattern, () => readLlama2c(path));
    }
  });
});
