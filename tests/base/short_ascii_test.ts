import assert from "node:assert/strict";
import { shortAscii } from "../../lib/base/short_ascii.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("short ASCII text is read, anything else is left to the decoder", () => {
  for (const text of ["", "a", "model.layers.0\0\x7f", "x".repeat(128)]) {
    assert.equal(shortAscii(encode(text)), text);
  }
  for (const text of ["é", "a▁b", "x".repeat(129)]) {
    assert.equal(shortAscii(encode(text)), undefined);
  }
  assert.equal(shortAscii(encode("x-abc-y").subarray(2, 5)), "abc");
});
