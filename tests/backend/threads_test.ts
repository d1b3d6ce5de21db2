import assert from "node:assert/strict";

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { onBackends } from "../on_backends.ts";

const ROWS = 33;
const OUT_DIM = 257;
const IN_DIM = 300;

const wave = (count: number, step: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * step));

/** A product large enough for several chunks, done `times` times into one output. */
function product(backend: Backend, times: number): Uint32Array {
  const [x, weight] = [wave(ROWS * IN_DIM, 0.7), wave(OUT_DIM * IN_DIM, 0.3)];
  const out = backend.alloc(ROWS * OUT_DIM * 4);
  const addresses = [x, weight].map((values) => {
    const address = backend.alloc(values.byteLength);
    backend.upload(address, values);
    return address;
  });
  for (let i = 0; i < times; i++) {
    backend.kernels.matmul({
      out,
      x: addresses[0]!,
      weight: addresses[1]!,
      x_dtype: DTYPE_CODES.f32,
      weight_dtype: DTYPE_CODES.f32,
      rows: ROWS,
      out_dim: OUT_DIM,
      in_dim: IN_DIM,
      x_stride: IN_DIM,
      out_stride: OUT_DIM,
      accumulate: 0,
    });
  }
  const bits = new Uint32Array(ROWS * OUT_DIM);
  backend.download(bits, out);
  return bits;
}

onBackends("the number of threads changes no bit", async ({ open }) => {
  using alone = await open(1);
  const expected = product(alone.backend, 1);
  assert.ok(expected.some((bits) => bits !== 0));
  for (const threads of [2, 3, 7]) {
    using opened = await open(threads);
    assert.deepEqual(product(opened.backend, 50), expected);
  }
});

onBackends("threads that have slept take part again", async ({ open }) => {
  using opened = await open(3);
  const expected = product(opened.backend, 3);
  // Longer than WebAssembly's threads sleep before they end.
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.deepEqual(product(opened.backend, 3), expected);
  await opened.backend.ready();
  assert.deepEqual(product(opened.backend, 3), expected);
});

onBackends("two contexts with threads of their own work in turn", async ({ open }) => {
  using first = await open(2);
  using second = await open(2);
  const expected = product(first.backend, 1);
  for (let i = 0; i < 5; i++) {
    assert.deepEqual(product(second.backend, 4), expected);
    assert.deepEqual(product(first.backend, 4), expected);
  }
});
