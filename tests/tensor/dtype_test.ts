import assert from "node:assert/strict";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import { ShapeError } from "../../lib/base/errors.ts";
import {
  bytesOf,
  decodeElements,
  DTYPE_BLOCKS,
  encodeElements,
  isDType,
  isPlain,
} from "../../lib/tensor/dtype.ts";
import { golden } from "../fixtures.ts";

Deno.test("dtype: every type of the kernel ABI has a block", () => {
  assert.deepEqual(Object.keys(DTYPE_BLOCKS).sort(), Object.keys(DTYPE_CODES).sort());
});

Deno.test("dtype: block sizes are those that the golden quantizations were packed with", async () => {
  const { kinds } = JSON.parse(await Deno.readTextFile(golden("quant/quant.json")));
  const seen = Object.entries(
    kinds as Record<string, { block_values: number; block_bytes: number; gguf_type_id: number }>,
  );
  assert.ok(seen.length >= 8);
  for (const [kind, { block_values, block_bytes, gguf_type_id }] of seen) {
    const name = kind.toLowerCase();
    assert.ok(isDType(name), name);
    assert.deepEqual(DTYPE_BLOCKS[name], { elements: block_values, bytes: block_bytes });
    assert.equal(DTYPE_CODES[name], gguf_type_id);
  }
});

Deno.test("dtype: bytes are whole blocks, and what is not is refused", () => {
  assert.equal(bytesOf("f32", 5), 20);
  assert.equal(bytesOf("bf16", 5), 10);
  assert.equal(bytesOf("q8_0", 96), 102);
  assert.equal(bytesOf("q6_k", 512), 420);
  assert.throws(() => bytesOf("q8_0", 33), (error: Error) => {
    assert.ok(error instanceof ShapeError);
    assert.equal(
      error.message,
      "Cannot store 33 elements as q8_0: a multiple of 32 was wanted",
    );
    return true;
  });
});

Deno.test("dtype: names are known by exact spelling only", () => {
  assert.ok(isDType("bf16") && isDType("q4_k"));
  assert.ok(!isDType("BF16") && !isDType("f8") && !isDType("toString"));
});

Deno.test("dtype: numbers survive the types that hold them, and are rounded by the others", () => {
  const values = [0, 1, -2.5, 3];
  for (const dtype of ["f32", "f64", "f16", "bf16"] as const) {
    const bytes = encodeElements(dtype, values);
    assert.equal(bytes.byteLength, bytesOf(dtype, 4));
    assert.deepEqual([...decodeElements(dtype, bytes.buffer)], values);
  }
  for (const dtype of ["i32", "i8"] as const) {
    assert.deepEqual([...decodeElements(dtype, encodeElements(dtype, [-7, 99]).buffer)], [-7, 99]);
  }
  assert.deepEqual([...decodeElements("f16", encodeElements("f16", [1 / 3]).buffer)], [
    0.333251953125,
  ]);
  assert.ok(isPlain("i8") && !isPlain("i64") && !isPlain("q4_0"));
});
