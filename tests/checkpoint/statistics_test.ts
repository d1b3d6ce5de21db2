import assert from "node:assert/strict";
import { join } from "node:path";
import { tensorStatistics } from "../../lib/checkpoint/statistics.ts";
import { tensorValues } from "../../lib/checkpoint/tensor_values.ts";
import { readGguf } from "../../lib/formats/gguf.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { golden } from "../fixtures.ts";
import { f32, withFolder } from "../formats/folder.ts";

function all(record: TensorRecord | undefined): number[] {
  assert.ok(record !== undefined);
  const chunks = tensorValues(record);
  assert.ok(chunks !== undefined, `${record.dtype} is not decoded`);
  return [...chunks].flatMap((chunk) => [...chunk]);
}

/** Equal as numbers: the fixtures treat the two zeros as one. */
function assertSame(actual: readonly number[], expected: readonly number[], what: string): void {
  assert.equal(actual.length, expected.length, what);
  const at = actual.findIndex((value, i) => value !== expected[i]);
  assert.equal(at, -1, `${what}: element ${at} is ${actual[at]}, wanted ${expected[at]}`);
}

Deno.test("every type of a file by ggml gives ggml's numbers", async () => {
  const file = await readGguf(golden("gguf/types.gguf"));
  const values = await readSafetensors(golden("gguf/values.safetensors"));
  assert.equal(file.records.size, 11);
  for (const [name, record] of file.records) {
    assertSame(all(record), all(values.records.get(name)), name);
  }
});

Deno.test("blocks of ggml's quantizer decode to its own numbers, bit for bit", async () => {
  const { records } = await readSafetensors(golden("quant/quant.safetensors"));
  for (const kind of ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_K", "q5_K", "q6_K"]) {
    const packed = records.get(`${kind}.packed`);
    assert.ok(packed !== undefined);
    const actual = all({ ...packed, dtype: kind.toLowerCase() });
    assertSame(actual, all(records.get(`${kind}.dequant`)), kind);
  }
});

Deno.test("statistics are over finite numbers, and the others are counted", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.safetensors");
    await writeSafetensors(path, [
      { name: "mixed", dtype: "f32", shape: [7], data: f32(1, -3, NaN, 2, Infinity, -Infinity, 4) },
      { name: "none", dtype: "f32", shape: [2], data: f32(NaN, NaN) },
      { name: "empty", dtype: "f32", shape: [0], data: f32() },
      { name: "ids", dtype: "i64", shape: [1], data: new Uint8Array(8) },
    ]);
    const { records } = await readSafetensors(path);
    const of = (name: string) => tensorStatistics(records.get(name)!);
    assert.deepEqual(of("mixed"), {
      min: -3,
      max: 4,
      mean: 1,
      rms: Math.sqrt(30 / 4),
      nan: 1,
      infinite: 2,
    });
    const nothing = { min: undefined, max: undefined, mean: undefined, rms: undefined };
    assert.deepEqual(of("none"), { ...nothing, nan: 2, infinite: 0 });
    assert.deepEqual(of("empty"), { ...nothing, nan: 0, infinite: 0 });
    assert.equal(of("ids"), undefined);
  });
});

Deno.test("a tensor longer than a chunk is described whole", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.safetensors");
    const values = new Float32Array(700_001).fill(0.5);
    values[700_000] = -2;
    values[0] = 3;
    const data = new Uint8Array(values.buffer);
    await writeSafetensors(path, [{ name: "long", dtype: "f32", shape: [700_001], data }]);
    const { records } = await readSafetensors(path);
    const statistics = tensorStatistics(records.get("long")!);
    assert.equal(statistics?.min, -2);
    assert.equal(statistics?.max, 3);
    assert.ok(Math.abs(statistics!.mean! - (0.5 * 699_999 + 1) / 700_001) < 1e-12);
  });
});
