import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readPytorch } from "../../lib/formats/pytorch.ts";
import { readPytorchIndex } from "../../lib/formats/pytorch_index.ts";
import { writePytorch } from "../../lib/formats/pytorch_write.ts";
import { readTensor, readTensorInto } from "../../lib/formats/read_tensor.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { bytesOf, f32, put, withFolder } from "./folder.ts";
import { checkpointOf, op, tensorOf } from "./pytorch_bytes.ts";
import { sourcesOf } from "./sources.ts";

const folderOfFiles = fileURLToPath(new URL("./pytorch/", import.meta.url));
const VIEWS = join(folderOfFiles, "views.pth");

async function floats(record: TensorRecord | undefined): Promise<number[]> {
  const { buffer } = await readTensor(record!);
  return [...(record!.dtype === "f64" ? new Float64Array(buffer) : new Float32Array(buffer))];
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

Deno.test("a state dict saved by PyTorch has its names, types and shapes in order", async () => {
  const { records } = await readPytorch(VIEWS);
  assert.deepEqual(
    [...records.values()].map(({ name, dtype, shape }) => `${name} ${dtype} [${shape}]`),
    [
      ...[
        "whole f32 [5,12]",
        "transposed f32 [12,5]",
        "slice f32 [2,5]",
        "column f32 [5]",
        "bf16 bf16 [7]",
      ],
      ...["f16 f16 [2,3]", "empty f32 [0,4]", "scalar f32 []", "i64 i64 [3]", "bool bool [2]"],
      ...["parameter f32 [2]", "cube f64 [4,2,3]"],
    ],
  );
  assert.ok([...records.values()].every(({ file }) => file === VIEWS));
});

Deno.test("views that share a storage read as what PyTorch shows", async () => {
  const { records } = await readPytorch(VIEWS);
  assert.deepEqual(await floats(records.get("whole")), range(60));
  assert.deepEqual(
    await floats(records.get("transposed")),
    range(60).map((i) => (i % 5) * 12 + Math.floor(i / 5)),
  );
  assert.deepEqual(await floats(records.get("slice")), [14, 15, 16, 17, 18, 26, 27, 28, 29, 30]);
  assert.deepEqual(await floats(records.get("column")), [3, 15, 27, 39, 51]);
  const cube = range(24).map((i) => Math.floor(i / 6) + 4 * (i % 3) + 12 * (Math.floor(i / 3) % 2));
  assert.deepEqual(await floats(records.get("cube")), cube);
  assert.deepEqual(await floats(records.get("scalar")), [3.5]);
  assert.deepEqual(await floats(records.get("empty")), []);
  assert.deepEqual(await floats(records.get("parameter")), [1, 1]);
  assert.deepEqual(await readTensor(records.get("bool")!), Uint8Array.of(1, 0));
  assert.equal(records.get("whole")!.stored, undefined);
  assert.deepEqual(records.get("transposed")!.stored, { kind: "strided", strides: [1, 12] });
});

Deno.test("a strided view streamed in small chunks is the view read whole", async () => {
  const { records } = await readPytorch(VIEWS);
  for (const name of ["transposed", "cube", "slice"]) {
    const parts: Uint8Array[] = [];
    await readTensorInto(records.get(name)!, (chunk, offset) => {
      assert.equal(offset, parts.reduce((sum, part) => sum + part.length, 0));
      parts.push(chunk.slice());
    }, { chunkBytes: 56 });
    assert.ok(parts.length > 0 && parts.every((part) => part.length <= 56));
    assert.deepEqual(bytesOf(...parts), await readTensor(records.get(name)!));
  }
});

Deno.test("a state dict inside the dict of a training run is found", async () => {
  const { records } = await readPytorch(join(folderOfFiles, "training.pth"));
  assert.deepEqual([...records.keys()], ["weight", "bias"]);
  assert.deepEqual(await floats(records.get("weight")), [1, 1]);
});

for (const longFrom of [undefined, 100]) {
  const kind = longFrom === undefined ? "plain" : "zip64";
  Deno.test(`a ${kind} archive that was written reads back, aligned for mapping`, async () => {
    await withFolder(async (folder) => {
      const { records } = await readPytorch(VIEWS);
      const path = join(folder, "copy.pth");
      await writePytorch(path, sourcesOf(records.values()), {
        ...(longFrom !== undefined && { longFrom }),
      });
      const copy = await readPytorch(path);
      assert.deepEqual([...copy.records.keys()], [...records.keys()]);
      for (const record of copy.records.values()) {
        const original = records.get(record.name)!;
        assert.deepEqual([record.dtype, record.shape], [original.dtype, original.shape]);
        assert.deepEqual(await readTensor(record), await readTensor(original));
        assert.equal(record.offset % 64, 0);
        assert.equal(record.stored, undefined);
      }
    });
  });
}

Deno.test("what PyTorch cannot hold is a mistake of the caller and leaves no file", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "bad.pth");
    const x = { name: "x", dtype: "f32", shape: [1], data: f32(1) };
    for (const bad of [[x, x], [{ ...x, dtype: "q8_0" }], [{ ...x, shape: [-1] }]]) {
      await assert.rejects(writePytorch(path, bad), TypeError);
    }
    await assert.rejects(writePytorch(path, [{ ...x, data: f32(1, 2) }]), RangeError);
    assert.deepEqual(readdirSync(folder), []);
  });
});

Deno.test("shards of an index are read together", async () => {
  await withFolder(async (folder) => {
    for (const name of ["a", "b"]) {
      await writePytorch(join(folder, `${name}.bin`), [{
        name,
        dtype: "f32",
        shape: [1],
        data: f32(1),
      }]);
    }
    const index = put(folder, "i.json", bytesOf('{"weight_map":{"a":"a.bin","b":"b.bin"}}'));
    const { records, shards } = await readPytorchIndex(index);
    assert.deepEqual([...records.keys()], ["a", "b"]);
    assert.deepEqual(shards, [join(folder, "a.bin"), join(folder, "b.bin")]);
  });
});

Deno.test("the hand-made archives of the tests of bad files are themselves good", async () => {
  await withFolder(async (folder) => {
    const pickle = op.program(op.dict(op.text("x"), tensorOf()));
    for (
      const [name, end] of [["plain", {}], ["commented", { comment: "PK\x05\x06 no end" }]] as const
    ) {
      const { records } = await readPytorch(put(folder, name, checkpointOf(pickle, 1, end)));
      assert.deepEqual([...records.values()].map(({ shape, bytes }) => [shape, bytes]), [[
        [2, 2],
        16,
      ]]);
    }
    const long = { offset: 0xffffffff, zip64: {} };
    assert.equal(
      (await readPytorch(put(folder, "long", checkpointOf(pickle, 1, long)))).records.size,
      1,
    );
  });
});
