import assert from "node:assert/strict";
import { COMMANDS, loadSpecs } from "../../cli/catalog.ts";
import { flagOf } from "../../cli/command.ts";
import { manualPage } from "../../cli/roff.ts";
import { runCli } from "./run_cli.ts";

Deno.test("the manual page has every command, flag and environment variable", async () => {
  const { code, stdout } = await runCli(["man"]);
  assert.equal(code, 0);
  const text = stdout.replaceAll("\\-", "-");
  for (const name of Object.keys(COMMANDS)) assert.ok(text.includes(`.SS llamero ${name}\n`), name);
  for (const spec of await loadSpecs()) {
    for (const key of Object.keys(spec.options)) {
      assert.ok(text.includes(flagOf(key).slice(2)), `${spec.name} ${key}`);
    }
  }
  for (const heading of ["NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "EXIT STATUS"]) {
    assert.ok(text.includes(`.SH ${heading}\n`), heading);
  }
  assert.match(text, /^\.B NO_COLOR$/m);
  // deno-lint-ignore no-control-regex -- what troff takes without being told an encoding
  assert.doesNotMatch(stdout, /[^\x00-\x7f]/);
});

Deno.test("no line of text begins like a command of roff, and no backslash goes unescaped", () => {
  const page = manualPage([{
    name: "try",
    group: "Generation",
    summary: "try it",
    description: ".SH not a heading\n'nor this\nC:\\path\n[…] 𝄞",
    arguments: {},
    options: {},
    examples: [],
    load: () => Promise.reject(new Error("never")),
  }], "1.2.3");
  assert.ok(
    page.includes("\\&.SH not a heading\n\\&'nor this\nC:\\epath\n[\\[u2026]] \\[u1D11E]\n"),
  );
  assert.ok(page.includes('"llamero 1.2.3"'));
});
