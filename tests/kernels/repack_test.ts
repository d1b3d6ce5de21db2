import assert from "node:assert/strict";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { KernelError } from "../../lib/base/errors.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { bytesOf, type DType } from "../../lib/tensor/dtype.ts";
import { assertSameBits } from "../numeric.ts";
import { onBackends } from "../on_backends.ts";

const TYPES = [
  ...["q4_0", "q4_1", "q5_0", "q5_1"] as const,
  ...["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"] as const,
];
const IN = 512;
/** Rows and columns: one and many, with and without columns past the last sixteen. */
const SHAPES = [[1, 16], [1, 75], [3, 48], [12, 33], [40, 100], [2, 7]] as const;

/** Rows of random numbers in blocks of a type. */
function blocks(backend: Backend, dtype: DType, rows: number): number {
  const random = new RandomStream(17, DTYPE_CODES[dtype]);
  const values = Float32Array.from({ length: rows * IN }, (_, i) => random.normal(i));
  const x = backend.alloc(values.byteLength);
  const out = backend.alloc(bytesOf(dtype, values.length));
  backend.upload(x, values);
  const codes = { out_dtype: DTYPE_CODES[dtype], x_dtype: DTYPE_CODES.f32 };
  backend.kernels.convert({ out, x, ...codes, rows, dim: IN });
  backend.free(x);
  return out;
}

/** Bytes of a product of q8_0 rows with a weight in rows, and with the same weight repacked. */
function bothWays(backend: Backend, type: DType, [rows, columns]: readonly [number, number]) {
  const x = blocks(backend, "q8_0", rows);
  const weight = blocks(backend, type, columns);
  const [bytes, dtype] = [bytesOf(type, columns * IN), DTYPE_CODES[type]];
  const [packed, out] = [backend.alloc(bytes), backend.alloc(rows * columns * 4)];
  const product = {
    ...{ out, x, weight_dtype: dtype, rows, out_dim: columns, in_dim: IN },
    ...{ x_stride: IN, out_stride: columns, accumulate: 0 },
  };
  const result = () => {
    const got = new Uint8Array(rows * columns * 4);
    backend.download(got, out);
    return got;
  };
  backend.kernels.repack({ out: packed, x: weight, dtype, rows: columns, dim: IN });
  backend.kernels.matmul({ ...product, weight, x_dtype: DTYPE_CODES.q8_0 });
  const plain = result();
  backend.fill(out, 0xff, plain.length);
  backend.kernels.matmul_repacked({ ...product, weight: packed });
  const repacked = result();
  backend.kernels.repack({ out: weight, x: weight, dtype, rows: columns, dim: IN });
  const [apart, inPlace] = [packed, weight].map((address) => {
    const copy = new Uint8Array(bytes);
    backend.download(copy, address);
    return copy;
  });
  for (const address of [x, weight, packed, out]) backend.free(address);
  return { plain, repacked, apart: apart!, inPlace: inPlace! };
}

for (const threads of [1, 2]) {
  onBackends(
    `repacked weights give the bits of those in rows, with ${threads} threads`,
    async (on) => {
      using opened = await on.open(threads);
      for (const type of TYPES) {
        for (const shape of SHAPES) {
          const got = bothWays(opened.backend, type, shape);
          const what = `${type}, ${shape[0]} rows by ${shape[1]} columns`;
          assertSameBits([got.repacked, got.plain], what);
          assertSameBits([got.inPlace, got.apart], `${what}, repacked where it lies`);
        }
      }
    },
  );
}

onBackends("what has no repacked layout is refused", async (on) => {
  using opened = await on.open(1);
  const { backend } = opened;
  const memory = backend.alloc(1 << 16);
  const dims = { rows: 16, dim: 256 };
  for (const type of ["f32", "bf16", "q8_0"] as const) {
    const call = () =>
      backend.kernels.repack({ out: memory, x: memory, dtype: DTYPE_CODES[type], ...dims });
    assert.throws(call, KernelError, type);
  }
  const halfBlock = { out: memory, x: memory, dtype: DTYPE_CODES.q4_k, rows: 16, dim: 128 };
  assert.throws(() => backend.kernels.repack(halfBlock), KernelError);
});
