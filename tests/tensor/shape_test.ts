import assert from "node:assert/strict";
import { ShapeError } from "../../lib/base/errors.ts";
import { elementsOf, sameShape, shapeText } from "../../lib/tensor/shape.ts";

Deno.test("shape: elements are the product of the extents, one for none", () => {
  assert.equal(elementsOf([]), 1);
  assert.equal(elementsOf([2, 3, 4]), 24);
  assert.equal(elementsOf([5, 0]), 0);
});

Deno.test("shape: extents that are no counts and products past 2^53 are refused by name", () => {
  for (const shape of [[-1], [1.5], [NaN], [2 ** 30, 2 ** 30], [Infinity, 0]]) {
    assert.throws(() => elementsOf(shape), (error: Error) => {
      assert.ok(error instanceof ShapeError);
      assert.ok(error.message.includes(shapeText(shape)), error.message);
      return true;
    });
  }
});

Deno.test("shape: shapes are the same when all extents are", () => {
  assert.ok(sameShape([2, 3], [2, 3]) && sameShape([], []));
  assert.ok(!sameShape([2, 3], [3, 2]) && !sameShape([2], [2, 1]));
});
