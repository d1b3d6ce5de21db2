import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { commandWords } from "../../cli/catalog.ts";
import { calledCommand } from "../cli/command_lines.ts";
import config from "../../deno.json" with { type: "json" };
import { REPOSITORY } from "../fixtures.ts";

const read = (name: string): string => Deno.readTextFileSync(join(REPOSITORY, name));
const readme = read("README.md");
const documents = [
  ...["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"],
  ...[...Deno.readDirSync(join(REPOSITORY, "docs"))].map(({ name }) => `docs/${name}`),
];

/** The lines of the code blocks of a document, each with what a backslash continues. */
function codeLines(name: string): string[] {
  const blocks = [...read(name).matchAll(/^```(?:sh|bash)\n([\s\S]*?)^```/gm)];
  return blocks.flatMap(([, code]) => code!.replaceAll(/\\\n\s*/g, "").split("\n"));
}
const tasks: Readonly<Record<string, string>> = config.tasks;

Deno.test("README's two commands bring the same Deno and name tasks that exist", () => {
  const commands = [...readme.matchAll(/^npx -y deno@(\S+) task (\S+)$/gm)];
  assert.deepEqual(commands.map(([, , task]) => task), ["quickstart", "test"]);
  for (const [, version, task] of commands) {
    assert.ok(tasks[task!] !== undefined, task);
    assert.ok(read(".ci/run").includes(`\nversion=${version}\n`), version);
  }
});

Deno.test("every task that a document names exists", () => {
  for (const name of documents) {
    for (const [, task] of read(name).matchAll(/deno task ([a-z:]+)/g)) {
      assert.ok(tasks[task!] !== undefined, `${name}: deno task ${task}`);
    }
  }
});

Deno.test("every command line that a document shows is one that the program takes", async () => {
  let shown = 0;
  for (const name of documents) {
    for (const line of codeLines(name)) {
      const command = /(?:^|\s)(llamero \w[^&|]*)/.exec(line)?.[1];
      if (command === undefined || line.startsWith("#")) continue;
      assert.ok(await calledCommand(command.trim()) !== undefined, `${name}: ${line}`);
      shown++;
    }
  }
  assert.ok(shown >= 15, `${shown} command lines were found`);
});

Deno.test("every script that a document runs, and every document that one points to, exists", () => {
  for (const name of documents) {
    for (const [, path] of read(name).matchAll(/\b(scripts\/[\w./]+\.(?:ts|sh|py))/g)) {
      assert.ok(existsSync(join(REPOSITORY, path!)), `${name}: ${path}`);
    }
    for (const [, link] of read(name).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      assert.ok(existsSync(join(REPOSITORY, dirname(name), link!)), `${name}: ${link}`);
    }
  }
});

Deno.test("README's table has every command of the program, and no other", () => {
  const rows = [...readme.matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => cell!);
  const named = rows.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, word]) => word!));
  assert.deepEqual(named.sort(), commandWords().sort());
});

Deno.test("README installs with the permissions that the task has", () => {
  const install = /deno install [^`]*?cli\/main\.ts/.exec(readme)?.[0] ?? "";
  const permissions = (text: string) => text.match(/--allow-\w+/g)?.sort();
  assert.deepEqual(permissions(install), permissions(tasks["llamero"]!));
});

Deno.test("ARCHITECTURE.md has at most 80 lines, and every path that it names exists", () => {
  const text = read("ARCHITECTURE.md");
  assert.ok(text.trimEnd().split("\n").length <= 80);
  for (const [, path] of text.matchAll(/`((?:lib|cli|kernels|scripts|tests)\/[\w./]+)`/g)) {
    assert.ok(existsSync(join(REPOSITORY, path!)), path);
  }
});

Deno.test("ARCHITECTURE.md describes the rooms that there are, and no other", () => {
  const text = read("ARCHITECTURE.md");
  const drawn = /^lib\/([\s\S]*?)^cli\//m.exec(text)?.[1] ?? "";
  const described = [...drawn.matchAll(/^(?: {8}| {4})(\w+)\/ /gm)].map(([, room]) => room!);
  const rooms = [...Deno.readDirSync(join(REPOSITORY, "lib"))]
    .filter((entry) => entry.isDirectory).map((entry) => entry.name);
  assert.deepEqual(described.sort(), rooms.sort());
});

Deno.test("the words of a change that nobody finished are not in the documents", () => {
  for (const name of ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]) {
    assert.doesNotMatch(read(name), /\b(TODO|FIXME|TBD|XXX)\b/, name);
  }
});
