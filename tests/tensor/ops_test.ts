import assert from "node:assert/strict";
import { ShapeError } from "../../lib/base/errors.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { DType } from "../../lib/tensor/dtype.ts";
import * as ops from "../../lib/tensor/ops.ts";
import { allocate, columns, fromValues, type Tensor, toValues } from "../../lib/tensor/tensor.ts";
import { onBackends } from "../on_backends.ts";

/** Makes tensors of a backend by their extents. */
const maker = (backend: Backend) => (shape: readonly number[], dtype: DType = "f32"): Tensor =>
  allocate(backend, { shape, dtype });

function refused(body: () => void, message: string): void {
  assert.throws(body, (error: Error) => {
    assert.ok(error instanceof ShapeError, String(error));
    assert.equal(error.message, message);
    return true;
  });
}

onBackends("ops: extents that disagree are refused with the tensors that told them", async (on) => {
  using opened = await on.open();
  const t = maker(opened.backend);
  refused(
    () => ops.rmsNorm({ out: t([2, 8]), x: t([2, 8]), weight: t([7]), eps: 1e-5 }),
    `Cannot run "rms_norm": "weight" is [7], but dim is 8 in "out"`,
  );
  refused(
    () => ops.matmul({ out: t([2, 3]), x: t([2, 5]), weight: t([3, 4]) }),
    `Cannot run "matmul": "weight" is [3, 4], but in_dim is 5 in "x"`,
  );
  refused(
    () => ops.softmax({ out: t([2, 8]), x: t([16]) }),
    `Cannot run "softmax": "x" is [16], [rows, dim] was wanted`,
  );
  refused(
    () => ops.rope({ x: t([3, 2, 8]), table: t([3, 3, 2]), layout: "half" }),
    `Cannot run "rope": "table" is [3, 3, 2], but head_dim is 8 in "x"`,
  );
  refused(
    () => ops.rope({ x: t([3, 2, 8]), table: t([3, 4, 1]), layout: "half" }),
    `Cannot run "rope": "table" is [3, 4, 1], [rows, head_dim/2, 2] was wanted`,
  );
  refused(
    () => ops.add({ out: t([2, 6]), x: t([3, 4]) }),
    `Cannot run "add": "x" is [3,4], but "out" is [2,6]`,
  );
});

onBackends("ops: element types are those of the kernel table", async ({ open }) => {
  using opened = await open();
  const t = maker(opened.backend);
  refused(
    () => ops.embedding({ out: t([2, 8]), table: t([4, 8]), ids: t([2]) }),
    `Cannot run "embedding": "ids" is f32, i32 was wanted`,
  );
  const cache = [1, 2, 4, 8];
  const rows = { rowSequence: t([3], "i32"), rowPosition: t([3], "i32") };
  const rest = { pageTable: t([1, 1], "i32"), ...rows };
  refused(
    () => {
      const [keys, values] = [t(cache), t(cache, "f16")];
      ops.attention({ out: t([3, 4, 8]), q: t([3, 4, 8]), keys, values, ...rest });
    },
    `Cannot run "attention": "values" is f16, but cache_dtype is f32 in "keys"`,
  );
});

onBackends("ops: rows that lie apart go only where the kernel knows strides", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const values = Array.from({ length: 12 }, (_, i) => i - 6);
  const both = fromValues(backend, { shape: [2, 6], values });
  const [gate, up] = [0, 3].map((first) => columns(both, { first, count: 3 })) as [Tensor, Tensor];
  const out = allocate(backend, { shape: [2, 3] });
  ops.swiglu({ out, gate, up });
  const want = [0, 1, 2, 6, 7, 8].map((i) => {
    const [g, u] = [values[i]!, values[i + 3]!];
    return Math.fround(g / (1 + Math.exp(-g)) * u);
  });
  toValues(out).forEach((value, i) => assert.ok(Math.abs(value - want[i]!) < 1e-6 * 8));
  refused(
    () => ops.softmax({ out, x: gate }),
    `Cannot run "softmax": the rows of "x" do not lie side by side`,
  );
});

onBackends("ops: tensors of two backends are never mixed", async ({ open }) => {
  using one = await open();
  using two = await open();
  refused(
    () =>
      ops.softmax({
        out: allocate(one.backend, { shape: [1, 4] }),
        x: allocate(two.backend, { shape: [1, 4] }),
      }),
    `Cannot run "softmax": "x" lies on another backend`,
  );
});

onBackends("ops: every shape of buffer is added, scaled and searched", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const out = fromValues(backend, { shape: [2, 1, 2], values: [1, 2, 3, 4] });
  ops.add({ out, x: fromValues(backend, { shape: [2, 1, 2], values: [9, 7, 5, 3] }) });
  ops.scale({ x: out, factor: 0.5 });
  assert.deepEqual([...toValues(out)], [5, 4.5, 4, 3.5]);
  const best = allocate(backend, { shape: [2], dtype: "i32" });
  ops.argmax({ out: best, x: fromValues(backend, { shape: [2, 2], values: [5, 4.5, 4, 4] }) });
  assert.deepEqual([...toValues(best)], [0, 0]);
});
