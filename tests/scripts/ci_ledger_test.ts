import assert from "node:assert/strict";
import { notRunLines } from "../../scripts/ci_ledger.ts";

Deno.test("tests that did not run are named, and counted where many have one reason", () => {
  const lines = notRunLines([
    "a.ts => one (ignored: no GPU)",
    ..."bcde".split("").map((name) => `${name}.ts => x (native) (ignored: no library at /lib.so)`),
    "f.ts => y (cuda (ignored: no GPU))",
    "g.ts => z",
  ]);
  assert.deepEqual(lines, [
    "a.ts => one (ignored: no GPU)",
    "f.ts => y (cuda (ignored: no GPU))",
    "4 tests: no library at /lib.so",
    "g.ts => z",
  ]);
});
