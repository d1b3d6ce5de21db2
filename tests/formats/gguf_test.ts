import assert from "node:assert/strict";
import { join } from "node:path";
import { readGguf } from "../../lib/formats/gguf.ts";
import {
  ggufBoolean,
  ggufFloat,
  ggufFloats,
  ggufInteger,
  ggufIntegers,
  ggufString,
  ggufStrings,
} from "../../lib/formats/gguf_values.ts";
import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { golden, MODELS, testWith } from "../fixtures.ts";
import { refused } from "./folder.ts";

interface Expected {
  readonly version: number;
  readonly data_start: number;
  readonly kv_in_order: readonly { key: string; type: string; value: unknown }[];
  readonly tensors_in_order: readonly {
    name: string;
    dims_fastest_first: number[];
    type: string;
    offset: number;
  }[];
}

const EXPECTED: Expected = JSON.parse(Deno.readTextFileSync(golden("gguf/gguf.json")));

/** Writes a value as the golden file describes it: integers beyond 2^53 as strings. */
function described(value: GgufValue): { type: string; value: unknown } {
  const long: Record<string, string> = { u: "uint", i: "int", f: "float" };
  const name = (type: string): string =>
    type.replace(/^([uif])(\d+)$/, (_, kind, bits) => long[kind] + bits);
  if (value.type !== "array") {
    return {
      type: name(value.type),
      value: typeof value.value === "bigint" ? String(value.value) : value.value,
    };
  }
  return { type: `array<${name(value.of)}>`, value: Array.from<unknown>(value.value) };
}

Deno.test("every metadata type of the golden file reads with its exact value and order", async () => {
  const file = await readGguf(golden("gguf/types.gguf"));
  assert.equal(file.version, EXPECTED.version);
  const read = [...file.metadata].map(([key, value]) => ({ key, ...described(value) }));
  assert.deepEqual(read, EXPECTED.kv_in_order);
});

Deno.test("every tensor of the golden file stands where ggml put it", async () => {
  const file = await readGguf(golden("gguf/types.gguf"));
  const read = [...file.records.values()].map((record) => ({
    name: record.name,
    dims_fastest_first: record.shape.toReversed(),
    type: record.dtype.toUpperCase(),
    offset: record.offset - EXPECTED.data_start,
  }));
  assert.deepEqual(read, EXPECTED.tensors_in_order);
});

Deno.test("plain tensors of the golden file have the values that ggml wrote", async () => {
  const file = await readGguf(golden("gguf/types.gguf"));
  const values = await readSafetensors(golden("gguf/values.safetensors"));
  for (const name of ["t.f32.33x5", "t.f32.7x0"]) {
    const record = file.records.get(name)!;
    assert.deepEqual(record.shape, values.records.get(name)!.shape);
    assert.deepEqual(await readTensor(record), await readTensor(values.records.get(name)!));
  }
  const bf16 = await readTensor(file.records.get("t.bf16.40x2")!);
  const wide = await readTensor(values.records.get("t.bf16.40x2")!);
  for (let i = 0; i < bf16.length; i += 2) {
    assert.deepEqual(bf16.subarray(i, i + 2), wide.subarray(2 * i + 2, 2 * i + 4));
    assert.deepEqual(wide.subarray(2 * i, 2 * i + 2), new Uint8Array(2));
  }
});

Deno.test("typed access gives values, undefined for absent keys, and refuses other types by name", async () => {
  const path = golden("gguf/types.gguf");
  const file = await readGguf(path);
  assert.equal(ggufInteger(file, "test.u8"), 200);
  assert.equal(ggufInteger(file, "test.i16"), -30000);
  assert.equal(ggufFloat(file, "test.f64"), 0.1);
  assert.equal(ggufBoolean(file, "test.true"), true);
  assert.equal(ggufString(file, "general.architecture"), "llama");
  assert.equal(ggufStrings(file, "test.strings")?.[4], "日本");
  assert.deepEqual(ggufFloats(file, "test.floats"), Float32Array.of(0.5, -1.25, 3));
  assert.deepEqual(ggufIntegers(file, "test.ints"), Int32Array.of(1, -2, 3));
  for (const read of [ggufInteger, ggufFloat, ggufBoolean, ggufString, ggufStrings, ggufFloats]) {
    assert.equal(read(file, "absent"), undefined);
    await refused(
      "types.gguf",
      /"test\.ints" is of type array of i32, wanted/,
      () => read(file, "test.ints"),
    );
  }
  assert.equal(ggufIntegers(file, "absent"), undefined);
  await refused(
    "types.gguf",
    /"test\.u64" is of type u64 \(18000000000000000000\), wanted an integer below 2\^53/,
    () => ggufInteger(file, "test.u64"),
  );
  await refused(
    "types.gguf",
    /"test\.u8" is of type u8 \(200\), wanted a float/,
    () => ggufFloat(file, "test.u8"),
  );
});

const MIXED = join(MODELS, "stories260K/stories260K-mixed.gguf");

testWith([MIXED], "a real mixed model reads with all its tensors and its vocabulary", async () => {
  const file = await readGguf(MIXED);
  assert.equal(file.records.size, 47);
  assert.equal(ggufStrings(file, "tokenizer.ggml.tokens")?.length, 512);
  assert.equal(ggufFloats(file, "tokenizer.ggml.scores")?.length, 512);
  assert.equal(file.records.get("token_embd.weight")?.dtype, "q8_0");
  assert.deepEqual(file.records.get("blk.4.ffn_down.weight")?.shape, [64, 172]);
  assert.equal(file.records.get("blk.4.ffn_down.weight")?.dtype, "f16");
});
