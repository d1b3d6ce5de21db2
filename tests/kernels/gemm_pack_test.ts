import assert from "node:assert/strict";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { KernelError } from "../../lib/base/errors.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { assertSameBits } from "../numeric.ts";
import { onBackends } from "../on_backends.ts";

const { f32, bf16 } = DTYPE_CODES;

/** One product: a [rows, depth] by b [columns, depth], b packed before or not. */
interface Shape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly precision: number;
  /** Whether the elements of a column of b lie side by side. */
  readonly along: boolean;
}

function uploaded(backend: Backend, count: number, stream: number): number {
  const random = new RandomStream(11, stream);
  const address = backend.alloc(count * 4);
  backend.upload(address, Float32Array.from({ length: count }, (_, i) => random.uniform(i) - 0.5));
  return address;
}

/** Bytes of the product, computed from b as it is and from b packed. */
function bothWays(backend: Backend, shape: Shape): Uint8Array<ArrayBuffer>[] {
  const { rows, columns, depth, precision, along } = shape;
  const [a, b] = [uploaded(backend, rows * depth, 0), uploaded(backend, columns * depth, 1)];
  const [out, elements] = [backend.alloc(rows * columns * 4), (columns + 63) * (depth + 1)];
  const packed = backend.alloc(elements * (precision === bf16 ? 2 : 4));
  const b_column_stride = along ? depth : 1;
  const b_depth_stride = along ? 1 : columns;
  const strides = { b_column_stride, b_depth_stride };
  const whole = {
    ...{ out, a, a_dtype: f32, b_dtype: f32, rows, columns, depth, precision },
    ...{ a_row_stride: depth, a_depth_stride: 1, ...strides, out_stride: columns, accumulate: 0 },
  };
  const product = (b: number, b_packed: number) => {
    const result = new Uint8Array(rows * columns * 4);
    backend.kernels.gemm({ ...whole, b, b_packed });
    backend.download(result, out);
    return result;
  };
  try {
    backend.kernels.gemm_pack({
      ...{ packed, b, b_dtype: f32, columns, depth, precision, ...strides },
      packed_elements: elements,
    });
    return [product(b, 0), product(packed, 1)];
  } finally {
    for (const address of [a, b, out, packed]) backend.free(address);
  }
}

/** Whether the processor multiplies bf16, as `info` tells. */
const multipliesBf16 = ({ info }: Backend) =>
  info.isa === "avx512" && info.features.includes("avx512bf16");

onBackends("gemm: packed weights give the bits of weights as they are", async ({ open }) => {
  using opened = await open(2);
  const { backend } = opened;
  for (const precision of [f32, bf16]) {
    if (precision === bf16 && !multipliesBf16(backend)) continue;
    for (const along of [true, false]) {
      for (const [rows, columns, depth] of [[1, 1, 1], [30, 65, 33], [50, 200, 1100]] as const) {
        const [plain, packed] = bothWays(backend, { rows, columns, depth, precision, along });
        assertSameBits([packed!, plain!], `${rows} x ${columns} x ${depth}, ${precision}`);
      }
    }
  }
});

onBackends("gemm: packing to bf16 is refused where nothing multiplies it", async ({ open }) => {
  using opened = await open();
  const shape = { rows: 2, columns: 3, depth: 4, precision: bf16, along: true };
  if (multipliesBf16(opened.backend)) bothWays(opened.backend, shape);
  else assert.throws(() => bothWays(opened.backend, shape), KernelError);
});
