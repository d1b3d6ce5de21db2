import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readGguf } from "../../lib/formats/gguf.ts";
import { writeGguf } from "../../lib/formats/gguf_write.ts";
import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { golden, MODELS, testWith } from "../fixtures.ts";
import { f32, refused, withFolder } from "./folder.ts";
import { sourcesOf } from "./sources.ts";

async function copyIsEqual(path: string): Promise<void> {
  await withFolder(async (folder) => {
    const file = await readGguf(path);
    const copy = join(folder, "copy.gguf");
    await writeGguf(copy, sourcesOf(file.records.values()), { metadata: file.metadata });
    assert.deepEqual(Deno.readFileSync(copy), Deno.readFileSync(path));
  });
}

Deno.test("a file written by ggml, read and written again, is the same byte for byte", async () => {
  await copyIsEqual(golden("gguf/types.gguf"));
});

const MIXED = join(MODELS, "stories260K/stories260K-mixed.gguf");

testWith([MIXED], "a real model, read and written again, is the same byte for byte", async () => {
  await copyIsEqual(MIXED);
});

Deno.test("another alignment is kept, and empty arrays and every array type survive", async () => {
  await withFolder(async (folder) => {
    const metadata = new Map<string, GgufValue>([
      ["general.alignment", { type: "u32", value: 256 }],
      ["a.none", { type: "array", of: "string", value: [] }],
      ["a.bool", { type: "array", of: "bool", value: Uint8Array.of(1, 0, 1) }],
      ["a.u8", { type: "array", of: "u8", value: Uint8Array.of(255) }],
      ["a.i8", { type: "array", of: "i8", value: Int8Array.of(-128) }],
      ["a.u16", { type: "array", of: "u16", value: Uint16Array.of(65535) }],
      ["a.i16", { type: "array", of: "i16", value: Int16Array.of(-32768) }],
      ["a.u32", { type: "array", of: "u32", value: Uint32Array.of(4294967295) }],
      ["a.f64", { type: "array", of: "f64", value: Float64Array.of(0.1, -0) }],
      ["a.u64", { type: "array", of: "u64", value: BigUint64Array.of(2n ** 64n - 1n) }],
      ["a.i64", { type: "array", of: "i64", value: BigInt64Array.of(-(2n ** 63n)) }],
    ]);
    const path = join(folder, "wide.gguf");
    await writeGguf(path, [
      { name: "x", dtype: "f32", shape: [2, 1], data: f32(1, 2) },
      { name: "y", dtype: "f32", shape: [], data: f32(3) },
    ], { metadata });
    const file = await readGguf(path);
    assert.equal(file.alignment, 256);
    assert.deepEqual([...file.metadata], [...metadata]);
    assert.deepEqual([...file.records.values()].map((record) => record.offset % 256), [0, 0]);
    assert.deepEqual(file.records.get("y")?.shape, []);
    assert.deepEqual(await readTensor(file.records.get("y")!), f32(3));
  });
});

Deno.test("what GGUF cannot hold is a mistake of the caller and leaves no file", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "bad.gguf");
    const options = { metadata: new Map<string, GgufValue>() };
    const x = { name: "x", dtype: "f32", shape: [1], data: f32(1) };
    for (
      const tensors of [
        [x, x],
        [{ ...x, name: "" }],
        [{ ...x, name: "n".repeat(64) }],
        [{ ...x, dtype: "u8" }],
        [{ ...x, dtype: "q8_0", shape: [33], data: new Uint8Array(34) }],
        [{ ...x, shape: [1, 1, 1, 1, 1] }],
        [{ ...x, shape: [0] }],
      ]
    ) {
      await assert.rejects(writeGguf(path, tensors, options), TypeError);
    }
    await assert.rejects(writeGguf(path, [{ ...x, data: f32(1, 2) }], options), RangeError);
    assert.deepEqual(readdirSync(folder), []);
  });
});

/** Writes a model of three tensors in three parts, as llama-gguf-split does, with changes to the second part. */
async function writeParts(folder: string, second: Record<string, GgufValue> = {}): Promise<string> {
  const part = (no: number): Map<string, GgufValue> =>
    new Map<string, GgufValue>([
      ["split.no", { type: "u16", value: no }],
      ["split.count", { type: "u16", value: 3 }],
      ["split.tensors.count", { type: "i32", value: 3 }],
      ...Object.entries(no === 1 ? second : {}),
    ]);
  for (const no of [0, 1, 2]) {
    const tensor = { name: `t${no}`, dtype: "f32", shape: [1], data: f32(no) };
    const path = join(folder, `m-0000${no + 1}-of-00003.gguf`);
    await writeGguf(path, [tensor], { metadata: part(no) });
  }
  return join(folder, "m-00001-of-00003.gguf");
}

Deno.test("a split model is read whole from its first file", async () => {
  await withFolder(async (folder) => {
    const file = await readGguf(await writeParts(folder));
    assert.equal(file.files.length, 3);
    assert.deepEqual([...file.records.keys()], ["t0", "t1", "t2"]);
    for (const no of [0, 1, 2]) {
      const record = file.records.get(`t${no}`)!;
      assert.equal(record.file, join(folder, `m-0000${no + 1}-of-00003.gguf`));
      assert.deepEqual(await readTensor(record), f32(no));
    }
  });
});

Deno.test("split models with wrong, missing or renamed parts are refused", async () => {
  await withFolder(async (folder) => {
    const first = await writeParts(folder);
    const second = join(folder, "m-00002-of-00003.gguf");
    await refused(
      "m-00002-of",
      /is a later part of 3, and the first was wanted/,
      () => readGguf(second),
    );
    Deno.copyFileSync(first, join(folder, "renamed.gguf"));
    await refused(
      "renamed.gguf",
      /one of 3 parts, whose names must end/,
      () => readGguf(join(folder, "renamed.gguf")),
    );
    Deno.copyFileSync(join(folder, "m-00003-of-00003.gguf"), second);
    await refused(
      "m-00002-of",
      /says that it is part 2 of 3 \(from 0\), wanted part 1 of 3/,
      () => readGguf(first),
    );
    Deno.copyFileSync(first, second);
    await refused("m-00002-of", /part 0 of 3/, () => readGguf(first));
    Deno.removeSync(second);
    await refused(
      "m-00001-of",
      /its part "m-00002-of-00003.gguf" is missing/,
      () => readGguf(first),
    );
  });
  await withFolder(async (folder) => {
    const first = await writeParts(folder, { "split.count": { type: "u16", value: 4 } });
    await refused("m-00002-of", /part 1 of 4/, () => readGguf(first));
  });
});
