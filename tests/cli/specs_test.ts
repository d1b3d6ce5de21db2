import assert from "node:assert/strict";
import { COMMANDS, loadSpecs, PARENTS } from "../../cli/catalog.ts";
import { flagOf, takesValue } from "../../cli/command.ts";
import { calledCommand } from "./command_lines.ts";

const specs = await loadSpecs();

Deno.test("every example of every command is a command line that the command takes", async () => {
  for (const spec of specs) {
    assert.ok(spec.examples.length > 0, spec.name);
    for (const { command } of spec.examples) {
      const own = command.split(/\s*(?:\||&&)\s*/).find((part) => part.startsWith("llamero "));
      assert.ok(own !== undefined, command);
      assert.equal((await calledCommand(own))?.name, spec.name, command);
    }
  }
});

Deno.test("summaries and docs are one sentence without a capital and a full stop", () => {
  for (const spec of specs) {
    const options = Object.entries(spec.options).map(([key, { doc }]) => [flagOf(key), doc]);
    const args = Object.entries(spec.arguments).map(([key, { doc }]) => [key, doc]);
    for (const [name, doc] of [["summary", spec.summary], ...options, ...args]) {
      assert.doesNotMatch(doc!, /\.$|\n/, `${spec.name} ${name}`);
      assert.ok(doc!.length > 0 && doc!.length <= 160, `${spec.name} ${name}`);
      assert.doesNotMatch(doc!, /may be (given|repeated)/, `${spec.name} ${name}: help adds it`);
    }
    assert.ok(spec.summary.length <= 76, spec.name);
  }
});

Deno.test("flags, placeholders and choices look alike everywhere", () => {
  for (const spec of specs) {
    for (const [key, option] of Object.entries(spec.options)) {
      const name = `${spec.name} ${key}`;
      assert.match(flagOf(key), /^--[a-z][a-z0-9]*(-[a-z0-9]+)*$/, name);
      if (!takesValue(option)) continue;
      assert.match(option.value, /^[A-Z][A-Z0-9:,=]*$/, name);
      for (const choice of option.choices ?? []) assert.match(choice, /^[\w.-]+$/, name);
      if (option.choices !== undefined && option.default !== undefined) {
        for (const value of [option.default].flat()) {
          assert.ok(option.choices.includes(String(value)), name);
        }
      }
    }
  }
});

Deno.test("no command has an option twice, by flag or by letter", () => {
  for (const spec of specs) {
    const letters = Object.values(spec.options).flatMap(({ short }) => short ?? []);
    assert.equal(new Set(letters).size, letters.length, spec.name);
    const flags = Object.keys(spec.options).map(flagOf);
    assert.equal(new Set(flags).size, flags.length, spec.name);
    assert.ok(!flags.includes("--help"), spec.name);
  }
});

Deno.test("an argument that takes the rest is the last, and a required one never follows an optional", () => {
  for (const spec of specs) {
    const args = Object.values(spec.arguments);
    for (const [i, argument] of args.entries()) {
      if (argument.rest) assert.equal(i, args.length - 1, spec.name);
      if (argument.required && i > 0) assert.ok(args[i - 1]!.required, spec.name);
    }
  }
});

Deno.test("a subcommand's first word is a known parent, and no parent is a command", () => {
  for (const name of Object.keys(COMMANDS)) {
    const [word, sub] = name.split(" ");
    assert.equal(Object.hasOwn(PARENTS, word!), sub !== undefined, name);
  }
});

Deno.test("a command that computes has all the shared options", () => {
  const shared = ["backend", "threads", "seed", "json", "quiet", "verbose"];
  for (const spec of specs.filter((spec) => "backend" in spec.options)) {
    for (const key of shared) assert.ok(key in spec.options, `${spec.name} ${key}`);
  }
});
