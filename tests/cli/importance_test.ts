import assert from "node:assert/strict";
import { join } from "node:path";
import { withFolder } from "../formats/folder.ts";
import { runCli } from "./run_cli.ts";

Deno.test("importance refuses an output it could not write before it looks at model and text", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "none", "importance.gguf");
    const model = join(folder, "model");
    const args = ["importance", "--model", model, "--text", "book.txt", "--out", out];
    const { code, stdout, stderr } = await runCli(args);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^llamero: Cannot write ".*importance\.gguf": no such file or folder\n/);
  });
});
