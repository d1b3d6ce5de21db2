import assert from "node:assert/strict";
import { ShapeError } from "../../lib/base/errors.ts";
import {
  allocate,
  columns,
  fromValues,
  isDense,
  release,
  reshape,
  rows,
  tensorBytes,
  toValues,
} from "../../lib/tensor/tensor.ts";
import { onBackends } from "../on_backends.ts";

const counted = (count: number) => Array.from({ length: count }, (_, i) => i);

onBackends("tensor: numbers come back as they were uploaded, rounded to the type", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  for (const dtype of ["f32", "f16", "bf16", "i32", "i8"] as const) {
    const tensor = fromValues(backend, { dtype, shape: [2, 3], values: counted(6) });
    assert.deepEqual([...toValues(tensor)], counted(6));
    release(tensor);
  }
  const third = fromValues(backend, { dtype: "bf16", shape: [1], values: [1 / 3] });
  assert.deepEqual([...toValues(third)], [0.333984375]);
});

onBackends("tensor: allocated memory is zero, and an empty tensor has an address", async (on) => {
  using opened = await on.open();
  const tensor = allocate(opened.backend, { shape: [3, 5] });
  assert.deepEqual([...toValues(tensor)], new Array(15).fill(0));
  const empty = allocate(opened.backend, { shape: [0, 4] });
  assert.ok(empty.address !== 0);
  assert.deepEqual([...toValues(empty)], []);
});

onBackends(
  "tensor: rows and columns are views, and columns keep the distance of rows",
  async (on) => {
    using opened = await on.open();
    const matrix = fromValues(opened.backend, { shape: [3, 4], values: counted(12) });
    const lower = rows(matrix, { first: 1, count: 2 });
    assert.deepEqual([...toValues(lower)], [4, 5, 6, 7, 8, 9, 10, 11]);
    const right = columns(matrix, { first: 2, count: 2 });
    assert.ok(!isDense(right) && isDense(lower));
    assert.deepEqual([...toValues(right)], [2, 3, 6, 7, 10, 11]);
    const corner = rows(right, { first: 2, count: 1 });
    assert.deepEqual([...toValues(corner)], [10, 11]);
    assert.ok(isDense(corner));
    const heads = reshape(right, [3, 2, 1]);
    assert.equal(heads.rowStride, 4);
    assert.deepEqual([...toValues(heads)], [2, 3, 6, 7, 10, 11]);
  },
);

onBackends("tensor: rows of block types are views at whole blocks", async ({ open }) => {
  using opened = await open();
  const tensor = allocate(opened.backend, { dtype: "q8_0", shape: [4, 64] });
  const third = rows(tensor, { first: 2, count: 1 });
  assert.equal(third.address - tensor.address, 2 * 68);
  assert.throws(() => columns(tensor, { first: 16, count: 32 }), ShapeError);
  assert.throws(() => toValues(tensor), /Cannot read a tensor of q8_0 as numbers/);
});

onBackends("tensor: shapes that do not fit are refused with both sides", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const matrix = fromValues(backend, { shape: [3, 4], values: counted(12) });
  const refused = (body: () => unknown, message: RegExp) =>
    assert.throws(body, (error: Error) => {
      assert.ok(error instanceof ShapeError);
      assert.match(error.message, message);
      return true;
    });
  refused(() => fromValues(backend, { shape: [2, 2], values: [1] }), /1 values .* 4 were wanted/);
  refused(() => fromValues(backend, { dtype: "q8_0", shape: [32], values: counted(32) }), /q8_0/);
  refused(() => reshape(matrix, [5, 2]), /\[3, 4\] of f32 to \[5, 2\]/);
  refused(() => reshape(columns(matrix, { first: 0, count: 2 }), [6]), /to \[6\]/);
  refused(() => rows(matrix, { first: 2, count: 2 }), /2 rows from 2: there are 3/);
  refused(() => rows(matrix, { first: -1, count: 2 }), /counts were wanted/);
  refused(() => columns(matrix, { first: 0, count: 5 }), /5 columns from 0: there are 4/);
  refused(() => columns(reshape(matrix, [12]), { first: 0, count: 1 }), /two axes/);
  refused(() => tensorBytes({ dtype: "q4_k", shape: [2, 128] }), /multiple of 256/);
});
