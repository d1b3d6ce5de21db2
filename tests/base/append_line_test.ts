import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { appendLine } from "../../lib/base/append_line.ts";

Deno.test("a line is appended, and begins anew where the last one was torn off", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "lines");
    appendLine(path, "one");
    appendLine(path, "two");
    assert.equal(readFileSync(path, "utf8"), "one\ntwo\n");
    writeFileSync(path, '{"step":1}\n{"st');
    appendLine(path, "three");
    assert.equal(readFileSync(path, "utf8"), '{"step":1}\n{"st\nthree\n');
    const elsewhere = join(folder, "none", "lines");
    assert.throws(() => appendLine(elsewhere, "four"), { code: "ENOENT" });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "a file that lines are appended to may be written by its owner alone",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const before = Deno.umask(0o022);
    try {
      const path = join(folder, "lines");
      appendLine(path, "one");
      assert.equal(statSync(path).mode & 0o777, 0o644);
    } finally {
      Deno.umask(before);
      await Deno.remove(folder, { recursive: true });
    }
  },
});
