import assert from "node:assert/strict";
import { alone } from "../../lib/comm/group.ts";
import type { Parameter } from "../../lib/model/training/trainable.ts";
import { Ownership, PART_ELEMENTS } from "../../lib/parallel/partition.ts";
import { partCount, TensorTotals } from "../../lib/parallel/tensor_totals.ts";
import { onBackends } from "../on_backends.ts";

const COUNTS = [5, 3 * PART_ELEMENTS + 17, PART_ELEMENTS, 40_000];
const PARAMETERS = COUNTS.map((count) => ({ count, copy: 0 }) as Parameter);
const UNITS = [[0], [1, 2], [3]];

/** Numbers whose sums depend on their order. */
function numbers(count: number, seed: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * i) * 10 ** (i % 7));
}

onBackends("totals of parts are the sums that one kernel makes of whole tensors", async (on) => {
  using opened = await on.open(2);
  const { backend } = opened;
  const { kernels } = backend;
  const ownership = new Ownership(alone(), { parameters: PARAMETERS, units: UNITS });
  const pieces = ownership.own;
  const totals = new TensorTotals(PARAMETERS, { pieces, axes: {} });
  const tensors = COUNTS.map((count, seed) => {
    const address = backend.alloc(4 * count);
    backend.upload(address, numbers(count, seed));
    return address;
  });
  const parts = backend.alloc(8 * totals.ownParts);
  let at = parts;
  for (const { parameter, first, count } of pieces) {
    const x = tensors[parameter]! + 4 * first;
    kernels.square_sums({ sums: at, x, parts: partCount(count), count });
    at += 8 * partCount(count);
  }
  const own = new Float64Array(totals.ownParts);
  backend.download(own, parts);
  const found = totals.held(own, 1);
  COUNTS.forEach((count, index) => {
    const sum = backend.alloc(8);
    kernels.square_sum({ sum, x: tensors[index]!, count });
    const wanted = new Float64Array(1);
    backend.download(wanted, sum);
    assert.equal(found[index], wanted[0]);
  });
});

Deno.test("parts are those of every parameter, the last one shorter", () => {
  assert.deepEqual(COUNTS.map(partCount), [1, 4, 1, 2]);
  const { ownParts } = new TensorTotals(PARAMETERS, {
    pieces: [{ parameter: 1, first: PART_ELEMENTS, count: 2 * PART_ELEMENTS + 17 }],
    axes: {},
  });
  assert.equal(ownParts, 3);
});
