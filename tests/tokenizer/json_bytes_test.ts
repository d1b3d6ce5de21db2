import { strictEqual } from "node:assert/strict";
import { JsonBytes } from "../../lib/tokenizer/json_bytes.ts";

Deno.test("texts are written as JSON.stringify writes them", () => {
  const every = Array.from({ length: 0x300 }, (_, code) => String.fromCodePoint(code)).join("");
  for (const text of ["", "plain", every, "\u2028\u2029\ufeff\uffff😀", '"\\/\b\f\n\r\t\u007f']) {
    const bytes = new TextEncoder().encode(`-${text}-`);
    const out = new JsonBytes();
    out.raw("[");
    out.text(bytes, 1, bytes.length - 1);
    out.raw("]");
    strictEqual(new TextDecoder().decode(out.finish()), JSON.stringify([text]));
  }
});

Deno.test("what is not UTF-8 becomes U+FFFD", () => {
  const out = new JsonBytes();
  out.text(Uint8Array.of(0x61, 0xff, 0x22, 0xe2, 0x96), 0, 5);
  strictEqual(new TextDecoder().decode(out.finish()), '"a\ufffd\\"\ufffd"');
});

Deno.test("a text may be long", () => {
  const bytes = new Uint8Array(200_000).fill(0x01);
  const out = new JsonBytes();
  out.text(bytes, 0, bytes.length);
  out.text(bytes, 0, 3);
  const wanted = '"\\u0001\\u0001\\u0001"';
  const written = new TextDecoder().decode(out.finish());
  strictEqual(written.length, 6 * bytes.length + 2 + wanted.length);
  strictEqual(written.endsWith(wanted), true);
});
