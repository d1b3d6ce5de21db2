import assert from "node:assert/strict";
import { join } from "node:path";
import { castChunks, type CastReport, isExactIn } from "../../lib/checkpoint/cast.ts";
import { BLOCK_DECODERS } from "../../lib/checkpoint/block_values.ts";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import { blockOf } from "../../lib/formats/file_dtype.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import type { DType } from "../../lib/tensor/dtype.ts";
import { withFolder } from "../formats/folder.ts";
import { ROUNDING_CASES as cases } from "../golden_tables.ts";
import { onBackends } from "../on_backends.ts";

/** The record of a vector of elements that are the whole of a file. */
function recordOf(folder: string, dtype: string, bytes: Uint8Array): TensorRecord {
  const file = join(folder, "tensor");
  Deno.writeFileSync(file, bytes);
  const block = blockOf(dtype)!;
  const elements = (bytes.length / block.bytes) * block.elements;
  return { name: "x", dtype, shape: [elements], file, offset: 0, bytes: bytes.length };
}

function gathered(chunks: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...chunks].flatMap((chunk) => [...chunk]));
}

const f32 = Uint32Array.from(cases, (c) => parseInt(c.f32_bits, 16));

Deno.test("float32 becomes the golden bits of float16 and bfloat16", async () => {
  await withFolder((folder) => {
    const record = recordOf(folder, "f32", new Uint8Array(f32.buffer));
    for (const dtype of ["f16", "bf16"] as const) {
      const bits = new Uint16Array(gathered(castChunks(record, { dtype })).buffer);
      const hex = [...bits].map((half) => half.toString(16).padStart(4, "0"));
      assert.deepEqual(hex, cases.map((c) => c[`${dtype}_bits`]));
    }
  });
});

Deno.test("a tensor that has the type already passes bit by bit, payloads of NaN included", async () => {
  await withFolder((folder) => {
    const bytes = Uint8Array.from({ length: 4000 }, (_, i) => (i * 167 + (i >> 3)) & 255);
    bytes.set([1, 0, 0x80, 0x7f, 1, 0, 0x80, 0xff]);
    for (const dtype of ["f32", "f16", "bf16"]) {
      const record = recordOf(folder, dtype, bytes);
      assert.deepEqual(gathered(castChunks(record, { dtype })), bytes);
    }
  });
});

Deno.test("half types become each other by way of the number, and widen to it", async () => {
  await withFolder((folder) => {
    // 1, -2.5, 2^-24 (the smallest float16), 65504 (its largest), 2^100 (bfloat16 alone).
    const bf16 = Uint16Array.of(0x3f80, 0xc020, 0x3380, 0x4780, 0x7180);
    const record = recordOf(folder, "bf16", new Uint8Array(bf16.buffer));
    const report: CastReport = { overflowed: 0 };
    const halves = gathered(castChunks(record, { dtype: "f16", report }));
    assert.deepEqual([...new Uint16Array(halves.buffer)], [0x3c00, 0xc100, 1, 0x7c00, 0x7c00]);
    // 0x4780 of bfloat16 is 65536, beyond 65504 as 2^100 is.
    assert.equal(report.overflowed, 2);
    const wide = gathered(castChunks(record, { dtype: "f32" }));
    assert.deepEqual([...new Float32Array(wide.buffer)], [1, -2.5, 2 ** -24, 65536, 2 ** 100]);
  });
});

Deno.test("numbers that round to infinity are counted, infinities and NaN are not", async () => {
  await withFolder((folder) => {
    const values = Float32Array.of(65504, 65519.99, 65520, -65520, 1e38, Infinity, -Infinity, NaN);
    const record = recordOf(folder, "f32", new Uint8Array(values.buffer));
    const report: CastReport = { overflowed: 0 };
    gathered(castChunks(record, { dtype: "f16", report }));
    assert.equal(report.overflowed, 3);
    const none: CastReport = { overflowed: 0 };
    gathered(castChunks(record, { dtype: "bf16", report: none }));
    assert.equal(none.overflowed, 0);
  });
});

Deno.test("a tensor is exact in a type that gives back every bit of it", async () => {
  await withFolder((folder) => {
    const exact = (dtype: "f16" | "bf16", ...values: number[]): boolean =>
      isExactIn(recordOf(folder, "f32", new Uint8Array(Float32Array.from(values).buffer)), dtype);
    assert.ok(exact("bf16", 1, -1.5, 2 ** 100, 0, -0, Infinity));
    assert.ok(!exact("bf16", 1, 1 + 2 ** -8));
    assert.ok(exact("f16", 1, 1 + 2 ** -10, 2 ** -24, 65504));
    assert.ok(!exact("f16", 65536));
    assert.ok(!exact("f16", 2 ** -25));
  });
});

Deno.test("types that are not decoded are refused by name", async () => {
  await withFolder((folder) => {
    const record = recordOf(folder, "iq4_nl", new Uint8Array(18));
    const cast = () => castChunks(record, { dtype: "f32" });
    assert.throws(cast, /tensor "x" is iq4_nl, which is not turned into f32/);
  });
});

onBackends("every block format is decoded to the kernels' very numbers", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  for (const [dtype, decode] of Object.entries(BLOCK_DECODERS)) {
    const block = blockOf(dtype)!;
    const count = 40;
    const elements = count * block.elements;
    // Any bytes are a block; those of its half-precision scales are kept finite.
    const bytes = Uint8Array.from(
      { length: count * block.bytes },
      (_, i) => ((i * 2654435761) >>> 13) & 0xbb,
    );
    const out = new Float32Array(elements);
    decode(bytes, out);
    const [x, y] = [backend.alloc(bytes.length), backend.alloc(4 * elements)];
    backend.upload(x, bytes);
    const dtypes = { out_dtype: DTYPE_CODES.f32, x_dtype: DTYPE_CODES[dtype as DType] };
    backend.kernels.convert({ out: y, x, ...dtypes, rows: 1, dim: elements });
    const wanted = new Float32Array(elements);
    backend.download(wanted, y);
    assert.ok(wanted.every(Number.isFinite), `${dtype} is finite`);
    assert.ok(new Set(wanted).size > 50, `${dtype} has many numbers`);
    for (let i = 0; i < elements; i++) {
      assert.ok(out[i] === wanted[i], `${dtype} element ${i}: ${out[i]} and ${wanted[i]}`);
    }
    backend.free(x);
    backend.free(y);
  }
});
