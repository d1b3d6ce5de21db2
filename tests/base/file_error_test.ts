import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { FormatError, LlameroError } from "../../lib/base/errors.ts";
import { errorCode, fileError } from "../../lib/base/file_error.ts";
import { withFolder } from "../formats/folder.ts";

Deno.test("failures of the file system become one line that names action and path", async () => {
  await withFolder((folder) => {
    const failure = (action: () => unknown): LlameroError => {
      try {
        action();
      } catch (thrown) {
        return fileError(thrown, { action: "read", path: "x y" });
      }
      throw new Error("nothing was thrown");
    };
    const absent = failure(() => fs.readFileSync(join(folder, "absent")));
    assert.equal(absent.message, 'Cannot read "x y": no such file or folder');
    assert.equal(errorCode(absent.cause), "ENOENT");
    assert.match(
      failure(() => fs.readFileSync(folder)).message,
      /it is a folder, and a file was wanted$/,
    );
    fs.writeFileSync(join(folder, "file"), "");
    assert.match(
      failure(() => fs.readFileSync(join(folder, "file", "below"))).message,
      /is a file, and a folder/,
    );
  });
});

Deno.test("an error of our own passes unchanged, and an unknown one keeps its first line", () => {
  const ours = new FormatError("ours");
  assert.equal(fileError(ours, { action: "read", path: "x" }), ours);
  const other = fileError(new Error("strange\nand long"), { action: "write", path: "x" });
  assert.equal(other.message, 'Cannot write "x": strange');
  assert.equal(errorCode("no error"), undefined);
});
