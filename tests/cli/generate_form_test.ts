import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../fixtures.ts";
import { STORIES, STORIES_TOKENIZER } from "../infer/stories.ts";
import { runCli } from "./run_cli.ts";

const NEEDED = [join(STORIES, "expected.json")];
const MODEL = ["--model", STORIES, "--tokenizer", STORIES_TOKENIZER, "--backend", "wasm"];

async function withFile(content: string, use: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, content);
    await use(path);
  } finally {
    await Deno.remove(path);
  }
}

testWith(NEEDED, "generate --json-schema writes JSON that fits", async () => {
  const schema =
    '{"type":"array","items":{"type":"integer","maximum":9,"minimum":0},"minItems":3,"maxItems":3}';
  await withFile(schema, async (path) => {
    for (const seed of ["1", "2", "3"]) {
      const args = ["--prompt", "Three:", "--json-schema", path, "--seed", seed];
      const { code, stdout, stderr } = await runCli(["generate", ...MODEL, ...args]);
      deepStrictEqual([code, stderr], [0, ""]);
      const value = JSON.parse(stdout);
      ok(value.length === 3 && value.every((x: number) => x >= 0 && x <= 9), stdout);
    }
  });
});

testWith(NEEDED, "generate --grammar writes what the grammar gives", async () => {
  await withFile('root ::= ("yes" | "no") "."', async (path) => {
    const args = ["--prompt", "Is it? ", "--grammar", path, "--temperature", "2"];
    const { code, stdout } = await runCli(["generate", ...MODEL, ...args]);
    strictEqual(code, 0);
    ok(stdout === "yes." || stdout === "no.", stdout);
  });
});

Deno.test("a grammar that is wrong is refused before the model is looked at", async () => {
  await withFile("root ::= (", async (path) => {
    const args = ["generate", "--model", "absent", "--prompt", "x"];
    const grammar = await runCli([...args, "--grammar", path]);
    deepStrictEqual([grammar.code, grammar.stdout], [2, ""]);
    match(grammar.stderr, /^llamero: Cannot read the grammar: line 1, column 10: /);
    const schema = await runCli([...args, "--json-schema", path]);
    deepStrictEqual([schema.code, schema.stdout], [2, ""]);
    match(schema.stderr, /^llamero: Cannot read the schema: /);
    const both = await runCli([...args, "--json-schema", path, "--grammar", path]);
    match(both.stderr, /--json-schema and --grammar exclude each other/);
  });
});
