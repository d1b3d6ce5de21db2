import assert from "node:assert/strict";
import { assertClose, assertSameBits } from "./numeric.ts";

Deno.test("assertClose shows the first pairs, the largest differences and where they are", () => {
  const got = [1, 2.5, 3, -4.25];
  const want = [1, 2, 3, -4];
  assert.throws(
    () => assertClose([got, want], { what: "y", absolute: 0.1, shape: [2, 2] }),
    (error: Error) => {
      assert.deepEqual(error.message.split("\n"), [
        "y: 2 of 4 elements are more than 1.00e-1 off",
        "  [0, 1]: 2.5, wanted 2, 5.00e-1 off",
        "  [1, 1]: -4.25, wanted -4, 2.50e-1 off",
        "  largest difference 5.00e-1 at [0, 1], relative 2.50e-1 at [0, 1]",
      ]);
      return true;
    },
  );
});

Deno.test("assertClose takes tolerances of the largest element and counts the edge as close", () => {
  assertClose([[1.5, 100], [1, 100]], { what: "y", ofLargest: 0.005 });
  assert.throws(() => assertClose([[1.5, 50], [1, 50]], { what: "y", ofLargest: 0.005 }));
  assertClose([[NaN, Infinity, 0], [NaN, Infinity, -0]], { what: "y" });
});

Deno.test("assertClose refuses NaN and infinities where numbers were wanted, and other lengths", () => {
  assert.throws(
    () => assertClose([[NaN], [1]], { what: "y", absolute: 9 }),
    /\[0\]: NaN, wanted 1/,
  );
  assert.throws(() => assertClose([[1], [NaN]], { what: "y", absolute: 9 }));
  assert.throws(() => assertClose([[Infinity], [-Infinity]], { what: "y", absolute: 9 }));
  assert.throws(() => assertClose([[], [1]], { what: "y" }), /0 elements, 1 were wanted/);
});

Deno.test("assertSameBits shows the bytes that differ", () => {
  assertSameBits([Uint8Array.of(1, 2), Uint8Array.of(1, 2)], "z");
  assert.throws(
    () => assertSameBits([Uint8Array.of(1, 2), Uint8Array.of(1, 255, 0)], "z"),
    /z: 2 of 3 bytes differ\n {2}byte 1: 02, wanted ff\n {2}byte 2: nothing, wanted 00/,
  );
});
