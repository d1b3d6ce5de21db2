import assert from "node:assert/strict";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { writeSafetensors } from "../../lib/formats/safetensors_write.ts";
import type { WeightSlice } from "../../lib/model/training/parts.ts";
import type { WeightSpec } from "../../lib/model/weights.ts";
import { heldValues } from "../../lib/train/held_values.ts";

const [ROWS, COLUMNS] = [8, 3];

/** A matrix in a file whose element in row r, column c is 10 r + c. */
async function withMatrix(body: (record: TensorRecord) => void): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    const values = Float32Array.from(
      { length: ROWS * COLUMNS },
      (_, i) => 10 * Math.floor(i / COLUMNS) + (i % COLUMNS),
    );
    const data = new Uint8Array(values.buffer);
    const source = { name: "x", dtype: "f32", shape: [ROWS, COLUMNS], data };
    await writeSafetensors(path, [source], { force: true });
    body((await readSafetensors(path)).records.get("x")!);
  } finally {
    await Deno.remove(path);
  }
}

function held(record: TensorRecord, slice?: WeightSlice, rope?: number): number[] {
  const spec = { shape: [ROWS, COLUMNS] } as unknown as WeightSpec;
  const other = slice === undefined ? 1 : slice.axis === 0 ? COLUMNS : ROWS;
  const count = slice === undefined ? ROWS * COLUMNS : slice.extent * other;
  return [...heldValues(record, { parameter: { spec, slice, count }, path: "p", name: "x", rope })];
}

const rows = (numbers: readonly number[]) =>
  numbers.flatMap((row) => [10 * row, 10 * row + 1, 10 * row + 2]);

Deno.test("a rank reads its rows or columns of a tensor", async () => {
  await withMatrix((record) => {
    assert.deepEqual(held(record), rows([0, 1, 2, 3, 4, 5, 6, 7]));
    assert.deepEqual(held(record, { axis: 0, first: 2, extent: 3 }), rows([2, 3, 4]));
    assert.deepEqual(
      held(record, { axis: 1, first: 1, extent: 2 }),
      [0, 1, 2, 3, 4, 5, 6, 7].flatMap((row) => [10 * row + 1, 10 * row + 2]),
    );
  });
});

Deno.test("interleaved rotary rows come in halves, head by head, before they are cut", async () => {
  await withMatrix((record) => {
    // Heads of four rows: pairs (0,1) and (2,3) become (0,2) and (1,3).
    const order = [0, 2, 1, 3, 4, 6, 5, 7];
    assert.deepEqual(held(record, undefined, 4), rows(order));
    assert.deepEqual(held(record, { axis: 0, first: 4, extent: 4 }, 4), rows(order.slice(4)));
  });
});

Deno.test("a tensor that is missing or of another size is refused", async () => {
  await withMatrix((record) => {
    const spec = { shape: [ROWS, COLUMNS + 1] } as unknown as WeightSpec;
    const parameter = { spec, count: ROWS * (COLUMNS + 1) };
    const wanted = { parameter, path: "p", name: "x" };
    assert.throws(() => heldValues(record, wanted), /"x" has 24 numbers, 32 were wanted/);
    assert.throws(() => heldValues(undefined, wanted), /"x" has 0 numbers, 32 were wanted/);
  });
});
