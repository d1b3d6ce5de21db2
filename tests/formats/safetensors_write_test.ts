import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { LlameroError } from "../../lib/base/errors.ts";
import { readTensor, tensorBytesOf } from "../../lib/formats/read_tensor.ts";
import { readSafetensors, type SafetensorsFile } from "../../lib/formats/safetensors.ts";
import { readSafetensorsIndex } from "../../lib/formats/safetensors_index.ts";
import { writeSafetensors, writeSafetensorsShards } from "../../lib/formats/safetensors_write.ts";
import type { TensorSource } from "../../lib/formats/tensor_file.ts";
import { golden } from "../fixtures.ts";
import { bytesOf, f32, withFolder } from "./folder.ts";

function sources(file: SafetensorsFile): TensorSource[] {
  return [...file.records.values()].map((record) => ({
    name: record.name,
    dtype: record.dtype,
    shape: record.shape,
    data: tensorBytesOf(record),
  }));
}

Deno.test("a golden model written again holds the same bytes in every tensor", async () => {
  await withFolder(async (folder) => {
    const model = await readSafetensors(golden("llama_gqa_tied/model_bf16.safetensors"));
    const path = join(folder, "again.safetensors");
    await writeSafetensors(path, sources(model), { metadata: { format: "pt" } });
    const again = await readSafetensors(path);
    assert.equal(again.metadata.get("format"), "pt");
    assert.deepEqual([...again.records.keys()].sort(), [...model.records.keys()].sort());
    for (const record of model.records.values()) {
      const copy = again.records.get(record.name)!;
      assert.deepEqual([copy.dtype, copy.shape], [record.dtype, record.shape]);
      assert.deepEqual(await readTensor(copy), await readTensor(record));
    }
  });
});

Deno.test("the file is laid out as the reference writes it: wide types first, then names by code point", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "order.safetensors");
    const one = (name: string, dtype: string, bytes: number): TensorSource => ({
      name,
      dtype,
      shape: [1],
      data: new Uint8Array(bytes).fill(bytes),
    });
    await writeSafetensors(path, [
      one("z", "u8", 1),
      one("b", "f32", 4),
      one("\u{1f600}", "f32", 4),
      one("\uff5e", "f32", 4),
      one("a", "i64", 8),
      one("a.10", "f16", 2),
      one("a.2", "f16", 2),
    ]);
    const file = await readSafetensors(path);
    assert.deepEqual([...file.records.keys()], [
      "a",
      "b",
      "\uff5e",
      "\u{1f600}",
      "a.10",
      "a.2",
      "z",
    ]);
    for (const record of file.records.values()) assert.equal(record.offset % record.bytes, 0);
  });
});

Deno.test("the bytes of a small file are exactly those of the format", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "small.safetensors");
    await writeSafetensors(path, [{ name: "x", dtype: "f32", shape: [1, 2], data: f32(1, 2) }]);
    const header = '{"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    assert.equal(header.length % 8, 0);
    const wanted = bytesOf([header.length, 0, 0, 0, 0, 0, 0, 0], header, f32(1, 2));
    assert.deepEqual(Deno.readFileSync(path), wanted);
  });
});

Deno.test("shards hold at most the bytes asked for, and the index finds every tensor", async () => {
  await withFolder(async (folder) => {
    const model = await readSafetensors(golden("llama_gqa/model.safetensors"));
    const names = await writeSafetensorsShards(folder, sources(model), { shardBytes: 100_000 });
    assert.ok(names.length > 4);
    assert.equal(names[0], `model-00001-of-0000${names.length - 1}.safetensors`);
    assert.equal(names.at(-1), "model.safetensors.index.json");
    const sharded = await readSafetensorsIndex(join(folder, "model.safetensors.index.json"));
    assert.equal(sharded.shards.length, names.length - 1);
    assert.deepEqual([...sharded.records.keys()].sort(), [...model.records.keys()].sort());
    for (const record of model.records.values()) {
      assert.deepEqual(
        await readTensor(sharded.records.get(record.name)!),
        await readTensor(record),
      );
    }
    const total = [...model.records.values()].reduce((sum, record) => sum + record.bytes, 0);
    const index = JSON.parse(Deno.readTextFileSync(join(folder, "model.safetensors.index.json")));
    assert.equal(index.metadata.total_size, total);
  });
});

Deno.test("a model that fits one file replaces a sharded one, whose index goes", async () => {
  await withFolder(async (folder) => {
    const model = await readSafetensors(golden("palm/model.safetensors"));
    await writeSafetensorsShards(folder, sources(model), { shardBytes: 100_000 });
    await assert.rejects(writeSafetensorsShards(folder, sources(model)), LlameroError);
    const names = await writeSafetensorsShards(folder, sources(model), { force: true });
    assert.deepEqual(names, ["model.safetensors"]);
    assert.ok(!existsSync(join(folder, "model.safetensors.index.json")));
  });
});

Deno.test("a file can be written over the one that its tensors are read from", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "model.safetensors");
    const model = await readSafetensors(golden("palm/model.safetensors"));
    await writeSafetensors(path, sources(model));
    const before = Deno.readFileSync(path);
    await writeSafetensors(path, sources(await readSafetensors(path)), { force: true });
    assert.deepEqual(Deno.readFileSync(path), before);
  });
});

Deno.test("a source that fails or has the wrong length leaves no file behind", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "broken.safetensors");
    const tensor = { name: "x", dtype: "f32", shape: [4] } as const;
    const failing = {
      ...tensor,
      *data() {
        yield f32(1, 2);
        throw new Error("the disk is gone");
      },
    };
    await assert.rejects(writeSafetensors(path, [failing]), /the disk is gone/);
    await assert.rejects(writeSafetensors(path, [{ ...tensor, data: f32(1) }]), RangeError);
    await assert.rejects(
      writeSafetensors(path, [{ ...tensor, data: f32(1, 2, 3, 4, 5) }]),
      RangeError,
    );
    const good = { ...tensor, name: "good", data: f32(1, 2, 3, 4) };
    await assert.rejects(
      writeSafetensorsShards(folder, [good, failing], { shardBytes: 16 }),
      /the disk is gone/,
    );
    await assert.rejects(
      writeSafetensorsShards(folder, [good, good], { shardBytes: 16 }),
      TypeError,
    );
    assert.deepEqual(readdirSync(folder), []);
  });
});
