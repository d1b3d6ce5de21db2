/**
 * What `llamero bench kernels` times of a training step's products, by arithmetic, and of the
 * optimizer, by memory.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { KernelCase } from "./bench_kernel_case.ts";

/** Which product of a layer y = x W^T, W [out, in]: y itself, the gradient of x or that of W. */
type Side = "forward" | "input" | "weight";

/** Rows, columns and depth of a product. */
type Extents = readonly [rows: number, columns: number, depth: number];

function extentsOf(side: Side, [tokens, outDim, inDim]: Extents): Extents {
  if (side === "forward") return [tokens, outDim, inDim];
  return side === "input" ? [tokens, inDim, outDim] : [outDim, inDim, tokens];
}

/** Small numbers of both signs. */
function fill(backend: Backend, address: number, bytes: number): void {
  const values = new Float32Array(1 << 14).map((_, i) => Math.sin(i));
  for (let at = 0; at < bytes; at += values.byteLength) {
    backend.upload(address + at, values.subarray(0, Math.min(values.length, (bytes - at) / 4)));
  }
}

const gemm = (side: Side, layer: Extents, precision: "f32" | "bf16" = "f32"): KernelCase => {
  const [rows, columns, depth] = extentsOf(side, layer);
  const buffers = [rows * columns * 4, rows * depth * 4, columns * depth * 4];
  return {
    kernel: "gemm",
    shape: `${side}: ${rows}x${depth} by ${columns}x${depth} ${precision}`,
    flops: 2 * rows * columns * depth,
    buffers,
    prepare: (backend, addresses) =>
      buffers.forEach((bytes, i) => fill(backend, addresses[i]!, bytes)),
    call: (backend, [out, a, b]) =>
      backend.kernels.gemm({
        ...{ out: out!, a: a!, b: b!, rows, columns, depth, out_stride: columns, accumulate: 0 },
        a_row_stride: side === "weight" ? 1 : depth,
        a_depth_stride: side === "weight" ? rows : 1,
        b_column_stride: side === "forward" ? depth : 1,
        b_depth_stride: side === "forward" ? 1 : columns,
        a_dtype: DTYPE_CODES.f32,
        b_dtype: DTYPE_CODES.f32,
        precision: DTYPE_CODES[precision],
        b_packed: 0,
      }),
  };
};

const adamw = (count: number): KernelCase => ({
  kernel: "adamw",
  shape: `${count} parameters`,
  // Four arrays are read and three of them written.
  bytes: count * 28,
  buffers: [...Array.from({ length: 4 }, () => count * 4), 56, 12],
  prepare: (backend, addresses) => {
    for (const address of addresses.slice(0, 4)) backend.fill(address, 0, count * 4);
    backend.upload(addresses[4]!, Float64Array.of(1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05));
    backend.upload(addresses[5]!, Float32Array.of(1, 1, 1));
  },
  call: (backend, [weight, m, v, grad, hyper, clip]) =>
    backend.kernels.adamw({
      ...{ weight: weight!, m: m!, v: v!, grad: grad!, hyper: hyper!, clip: clip! },
      compute: 0,
      count,
    }),
});

const SIDES = ["forward", "input", "weight"] as const;

/** The feed-forward layers of Llamas of 15M, 42M and 110M parameters, tokens first. */
const LAYERS: readonly Extents[] = [[2048, 1536, 288], [1024, 2752, 512], [512, 4096, 768]];

/** The cases; those in bf16 only where the processor multiplies it. */
export const PRODUCT_CASES: readonly KernelCase[] = [
  ...LAYERS.flatMap((layer) => SIDES.map((side) => gemm(side, layer))),
  ...SIDES.map((side) => gemm(side, [512, 32000, 288])),
  ...SIDES.map((side) => ({ ...gemm(side, LAYERS[2]!, "bf16"), inBf16: true })),
  adamw(1 << 24),
];
