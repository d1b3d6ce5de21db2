import assert from "node:assert/strict";
import { median } from "../../lib/base/median.ts";

Deno.test("the median is the middle number, or the mean of the two", () => {
  assert.equal(median([9, 1, 10]), 9);
  assert.equal(median([100, 2, 9, 1]), 5.5);
  assert.equal(median([-3]), -3);
  assert.ok(Number.isNaN(median([])));
});

Deno.test("the median leaves its numbers as they were", () => {
  const values = [3, 1, 2];
  median(values);
  assert.deepEqual(values, [3, 1, 2]);
});
