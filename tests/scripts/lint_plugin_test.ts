import assert from "node:assert/strict";
import plugin from "../../scripts/lint_plugin.ts";

/** Messages that the house rules have for a source that stands at a path. */
function faults(path: string, source: string): string[] {
  const root = new URL("../../", import.meta.url);
  const found = Deno.lint.runPlugin(
    plugin,
    decodeURIComponent(new URL(path, root).pathname),
    source,
  );
  return found.map((fault) => `${fault.id}: ${fault.message}`);
}

Deno.test("a room may import rooms to its left", () => {
  assert.deepEqual(faults("lib/model/a.ts", `import { x } from "../tensor/b.ts";`), []);
  assert.deepEqual(faults("lib/backend/a.ts", `import { x } from "../../kernels/abi.ts";`), []);
  assert.deepEqual(
    faults("cli/commands/train.ts", `import { x } from "../../lib/train/b.ts";`),
    [],
  );
  assert.deepEqual(faults("lib/model/a.ts", `import { x } from "./b.ts";`), []);
});

Deno.test("a room may not import rooms to its right, in any kind of import", () => {
  const sources = [
    `import { x } from "../train/b.ts";`,
    `import type { X } from "../train/b.ts";`,
    `export * from "../train/b.ts";`,
    `export { x } from "../train/b.ts";`,
    `const b = await import("../train/b.ts");`,
  ];
  for (const source of sources) {
    assert.deepEqual(faults("lib/tensor/a.ts", source), [
      "llamero/arrow: tensor may not import train",
    ], source);
  }
  assert.deepEqual(faults("kernels/abi.ts", `import { x } from "../lib/backend/b.ts";`), [
    "llamero/arrow: kernels may not import backend",
  ]);
  assert.deepEqual(faults("lib/base/a.ts", `import { x } from "../../cli/main.ts";`), [
    "llamero/arrow: base may not import cli",
  ]);
});

Deno.test("rooms beside each other may not import each other", () => {
  assert.deepEqual(faults("lib/data/a.ts", `import { x } from "../quant/b.ts";`), [
    "llamero/arrow: data may not import quant",
  ]);
});

Deno.test("a folder that is no room is refused", () => {
  assert.deepEqual(faults("lib/train/a.ts", `import { x } from "../attic/b.ts";`), [
    "llamero/arrow: attic is no room of the house",
  ]);
});

Deno.test("nothing but scripts and tests imports scripts and tests", () => {
  assert.deepEqual(faults("lib/base/a.ts", `import { x } from "../../tests/fixtures.ts";`), [
    "llamero/arrow: lib/base/a.ts may not import tests/",
  ]);
  assert.deepEqual(faults("scripts/a.ts", `import { x } from "../tests/fixtures.ts";`), []);
});

Deno.test("packages and built-in modules are outside the house", () => {
  assert.deepEqual(faults("lib/base/a.ts", `import * as fs from "node:fs";`), []);
});

Deno.test("only scripts and tests may use the console", () => {
  const source = `console.log("x");`;
  assert.deepEqual(faults("lib/train/a.ts", source), [
    "llamero/no-console: console.log prints past the streams of the command line",
  ]);
  assert.equal(faults("cli/commands/a.ts", source).length, 1);
  assert.deepEqual(faults("scripts/a.ts", source), []);
  assert.deepEqual(faults("tests/base/a_test.ts", source), []);
});

Deno.test("lib neither reads the environment, exits, prompts nor touches the streams", () => {
  const refused = [
    `Deno.env.get("HOME");`,
    `Deno.exit(1);`,
    `const first = Deno.args[0];`,
    `Deno.stdout.writeSync(bytes);`,
    `Deno.addSignalListener("SIGINT", stop);`,
    `confirm("sure?");`,
    `import process from "node:process";`,
  ];
  for (const source of refused) {
    assert.equal(faults("lib/infer/a.ts", source).length, 1, source);
    assert.deepEqual(faults("cli/a.ts", source), [], source);
  }
  assert.deepEqual(faults("lib/infer/a.ts", `await Deno.readFile("x");`), []);
});

Deno.test("only lib/backend opens libraries and WebAssembly modules", () => {
  for (const source of [`Deno.dlopen("x", {});`, `await WebAssembly.compile(bytes);`]) {
    assert.equal(faults("lib/tensor/a.ts", source).length, 1, source);
    assert.equal(faults("cli/commands/doctor.ts", source).length, 1, source);
    assert.deepEqual(faults("lib/backend/native.ts", source), [], source);
    assert.deepEqual(faults("scripts/build_wasm.ts", source), [], source);
  }
});

Deno.test("a file says its idea in snake_case", () => {
  assert.deepEqual(faults("lib/base/random.ts", ""), []);
  assert.deepEqual(faults("tests/base/random_test.ts", ""), []);
  assert.deepEqual(faults("lib/backend/kernels.generated.ts", ""), []);
  assert.deepEqual(faults("cli/commands/bench_train.spec.ts", ""), []);
  assert.deepEqual(faults("lib/base/fileError.ts", ""), [
    'llamero/file-name: "fileError" is not snake_case',
  ]);
  for (const name of ["utils", "util", "helpers", "helper", "common", "misc"]) {
    assert.deepEqual(faults(`lib/base/${name}.ts`, ""), [
      `llamero/file-name: "${name}" says nothing`,
    ]);
    assert.deepEqual(faults(`lib/${name}/random.ts`, ""), [
      `llamero/file-name: "${name}" says nothing`,
    ]);
  }
});

Deno.test("a function has at most 60 lines", () => {
  const body = (lines: number) => `function f() {\n${"  x();\n".repeat(lines - 2)}}`;
  assert.deepEqual(faults("lib/base/a.ts", body(60)), []);
  assert.deepEqual(faults("lib/base/a.ts", body(61)), [
    "llamero/function-length: a function of 61 lines; 60 are allowed",
  ]);
  const test = `Deno.test("x", () => {\n${"  x();\n".repeat(60)}});`;
  assert.equal(faults("tests/base/a_test.ts", test).length, 1);
});

Deno.test("an exported function takes two positional arguments, then options", () => {
  const path = "lib/base/a.ts";
  assert.deepEqual(faults(path, `export function f(a: A, b: B): void {}`), []);
  assert.deepEqual(faults(path, `export function f(a: A, b: B, options: O = {}): void {}`), []);
  assert.deepEqual(faults(path, `export function f(a: A, b: B, { c }: O): void {}`), []);
  assert.deepEqual(faults(path, `function f(a: A, b: B, c: C): void {}`), []);
  assert.deepEqual(faults(path, `export function f(a: A, b: B, c: C): void {}`), [
    "llamero/positional: f takes 3 positional arguments",
  ]);
  assert.equal(
    faults(path, `export function f(a: A, b: B, c: C, options: O): void {}`).length,
    1,
  );
});

Deno.test("a command's record imports nothing that costs start-up time", () => {
  const path = "cli/commands/train.spec.ts";
  const allowed = [
    `import { LIMIT } from "../../lib/base/errors.ts";`,
    `import type { Preset } from "../../lib/model/presets.ts";`,
    `import { COMPUTE_OPTIONS } from "../options.ts";`,
    `export const load = () => import("./train.ts");`,
  ];
  for (const source of allowed) assert.deepEqual(faults(path, source), [], source);
  for (const named of ["../../lib/model/presets.ts", "./train.ts", "commander", "node:fs"]) {
    assert.deepEqual(faults(path, `import { x } from "${named}";`), [
      `llamero/cheap-spec: a command's record may not import ${named}`,
    ]);
  }
});
