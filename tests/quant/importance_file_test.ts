import assert from "node:assert/strict";
import { join } from "node:path";
import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import { writeGguf } from "../../lib/formats/gguf_write.ts";
import type { TensorSource } from "../../lib/formats/tensor_file.ts";
import { readImportance } from "../../lib/quant/importance_file.ts";
import { bytesOf, f32, put, refused, u32, withFolder } from "../formats/folder.ts";
import { binaryImportance } from "./importance.ts";

const name = "blk.0.attn_q.weight";
const entry = { name, values: Float32Array.of(2, 4, 0, 8), calls: 2 };

Deno.test("the binary layout is read: sums over counts, chunks and the text", async () => {
  await withFolder(async (folder) => {
    const unmet = { name: "output.weight", values: Float32Array.of(3), calls: 0 };
    const end = bytesOf(u32(11), u32(8), "text.txt");
    const path = put(folder, "imatrix.dat", binaryImportance([entry, unmet], end));
    const { columns, chunks, datasets } = await readImportance(path);
    assert.deepEqual([...columns], [
      [name, Float32Array.of(1, 2, 0, 4)],
      ["output.weight", Float32Array.of(3)],
    ]);
    assert.equal(chunks, 11);
    assert.deepEqual(datasets, ["text.txt"]);
    const bare = await readImportance(put(folder, "bare.dat", binaryImportance([entry])));
    assert.equal(bare.chunks, undefined);
    assert.deepEqual(bare.datasets, []);
  });
});

const tensorOf = (name: string, ...values: number[]): TensorSource => ({
  name,
  dtype: "f32",
  shape: [1, values.length],
  data: f32(...values),
});

const METADATA: readonly (readonly [string, GgufValue])[] = [
  ["general.type", { type: "string", value: "imatrix" }],
  ["imatrix.datasets", { type: "array", of: "string", value: ["a.txt", "b.txt"] }],
  ["imatrix.chunk_count", { type: "u32", value: 5 }],
  ["imatrix.chunk_size", { type: "u32", value: 512 }],
];

async function putGguf(
  folder: string,
  tensors: readonly TensorSource[],
  metadata: readonly (readonly [string, GgufValue])[] = METADATA,
): Promise<string> {
  const path = join(folder, "imatrix.gguf");
  await writeGguf(path, tensors, { metadata: new Map(metadata), force: true });
  return path;
}

Deno.test("the GGUF layout is read: sums over counts, 1 where nothing was met", async () => {
  await withFolder(async (folder) => {
    const path = await putGguf(folder, [
      tensorOf(`${name}.in_sum2`, 2, 4, 0, 9),
      tensorOf(`${name}.counts`, 4),
      tensorOf("output.weight.counts", 0),
      tensorOf("output.weight.in_sum2", 7, 7),
    ]);
    const { columns, chunks, datasets } = await readImportance(path);
    assert.deepEqual([...columns], [
      [name, Float32Array.of(0.5, 1, 0, 2.25)],
      ["output.weight", Float32Array.of(1, 1)],
    ]);
    assert.equal(chunks, 5);
    assert.deepEqual(datasets, ["a.txt", "b.txt"]);
  });
});

const huge = u32(0x7fffffff);

/** Binary files that are wrong, and what is said of them. */
const HOSTILE: readonly (readonly [what: string, bytes: Uint8Array, message: RegExp])[] = [
  ["nothing in it", bytesOf(), /it has 0 bytes/],
  ["more entries than bytes", bytesOf(huge, u32(0), u32(0)), /2147483647 entries/],
  ["no entries", bytesOf(u32(0), u32(0)), /0 entries/],
  ["a negative count", bytesOf(u32(-1), u32(0)), /-1 entries/],
  ["a name beyond the end", bytesOf(u32(1), huge, new Uint8Array(20)), /name of entry 0 is 2147/],
  ["a negative name", bytesOf(u32(1), u32(-5), new Uint8Array(20)), /name of entry 0 is -5/],
  ["a name of nothing", bytesOf(u32(1), u32(0), new Uint8Array(20)), /entry 0 has no name/],
  [
    "values beyond the end",
    bytesOf(u32(1), u32(1), "a", u32(1), huge, new Uint8Array(16)),
    /length of entry "a" is 2147483647/,
  ],
  ["no values", bytesOf(u32(1), u32(1), "a", u32(1), u32(0), u32(0)), /"a" has no values/],
  ["an entry twice", binaryImportance([entry, entry]), /stands there twice/],
  ["a cut end", binaryImportance([entry], bytesOf(u32(1), u32(9), "abc")), /name of the text is 9/],
  ["bytes behind the end", binaryImportance([entry], bytesOf(u32(1), u32(0), "abc")), /3 bytes/],
  [
    "NaN",
    binaryImportance([{ name, values: Float32Array.of(1, NaN) }]),
    /has NaN over 1 in column 1/,
  ],
  ["a negative sum", binaryImportance([{ name, values: Float32Array.of(-1) }]), /has -1 over 1/],
];

for (const [what, bytes, message] of HOSTILE) {
  Deno.test(`a binary importance file with ${what} is refused`, async () => {
    await withFolder(async (folder) => {
      const path = put(folder, "bad.dat", bytes);
      await refused("bad.dat", message, () => readImportance(path));
    });
  });
}

Deno.test("a binary importance file cut anywhere is refused", async () => {
  await withFolder(async (folder) => {
    const whole = binaryImportance([entry]);
    for (let length = 0; length < whole.length; length++) {
      const path = put(folder, "bad.dat", whole.subarray(0, length));
      await refused("bad.dat", /./, () => readImportance(path));
    }
  });
});

Deno.test("a GGUF file that is no importance file is refused", async () => {
  await withFolder(async (folder) => {
    const [sums, counts] = [tensorOf(`${name}.in_sum2`, 1, 2, 3), tensorOf(`${name}.counts`, 1)];
    const attempt = async (
      message: RegExp,
      tensors: readonly TensorSource[],
      metadata: readonly (readonly [string, GgufValue])[] = METADATA,
    ) => {
      const path = await putGguf(folder, tensors, metadata);
      await refused("imatrix.gguf", message, () => readImportance(path));
    };
    await attempt(/"general.type" is missing/, [sums, counts], []);
    await attempt(/"general.type" is "model"/, [sums, counts], [
      ["general.type", { type: "string", value: "model" }],
    ]);
    await attempt(/no tensor in it/, [tensorOf("a", 1)]);
    await attempt(/in_sum2" is there without/, [sums]);
    await attempt(/counts" is there without/, [counts]);
    await attempt(/3 values and 2 counts/, [sums, tensorOf(`${name}.counts`, 1, 1)]);
    await attempt(/has 1 over Infinity/, [sums, tensorOf(`${name}.counts`, Infinity)]);
    const half = { ...counts, dtype: "f16", data: new Uint8Array(2) };
    await attempt(/is f16, and f32 was wanted/, [sums, half]);
  });
});
