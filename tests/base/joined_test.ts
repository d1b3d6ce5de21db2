import assert from "node:assert/strict";
import { joined } from "../../lib/base/joined.ts";

Deno.test("joined arrays stand one behind the other, empty ones leave no trace", () => {
  const parts = [Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3)];
  assert.deepEqual(joined(Uint8Array, parts), Uint8Array.of(1, 2, 3));
  assert.deepEqual(joined(Uint32Array, [[2 ** 32 - 1], [7]]), Uint32Array.of(2 ** 32 - 1, 7));
  assert.deepEqual(joined(Uint8Array, []), new Uint8Array());
});

Deno.test("joined arrays are a copy even of one part", () => {
  const part = Uint8Array.of(1);
  const whole = joined(Uint8Array, [part]);
  part[0] = 9;
  assert.equal(whole[0], 1);
});
