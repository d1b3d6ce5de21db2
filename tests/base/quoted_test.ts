import assert from "node:assert/strict";
import { onOneLine, quoted, quotedPath } from "../../lib/base/quoted.ts";

Deno.test("a plain name is put in double quotes", () => {
  assert.equal(quoted("model.embed_tokens.weight"), '"model.embed_tokens.weight"');
  assert.equal(quoted("é ▁b 日本"), '"é ▁b 日本"');
});

Deno.test("line breaks, quotes and terminal controls are escaped", () => {
  assert.equal(quoted('a"b\\c'), '"a\\"b\\\\c"');
  assert.equal(quoted("a\nb\r\u0000\u001b[31m"), '"a\\nb\\r\\u0000\\u001b[31m"');
  assert.equal(quoted("\u009b2J\u007f\u2028\u202e"), '"\\u009b2J\\u007f\\u2028\\u202e"');
  assert.equal(quoted("\ud800"), '"\ufffd"');
});

Deno.test("a long name is shortened, and a path is not", () => {
  assert.equal(quoted("x".repeat(1000)).length, 103);
  assert.equal(quotedPath("x".repeat(1000)).length, 1002);
});

Deno.test("a message with text from outside stays on one line and drives no terminal", () => {
  const message = (text: string) => {
    try {
      return String(JSON.parse(text));
    } catch (error) {
      return onOneLine((error as Error).message);
    }
  };
  const shown = message("x\n\u001b[31m\u0085\u202e");
  assert.ok(/^Unexpected token 'x'/.test(shown), shown);
  assert.ok(shown.includes("x\\n\\u001b[31m\\u0085\\u202e"), shown);
  // deno-lint-ignore no-control-regex -- what must not be there
  assert.ok(!/[\u0000-\u001f\u0085\u202e]/.test(shown), shown);
});
