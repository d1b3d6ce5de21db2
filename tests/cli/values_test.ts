import assert from "node:assert/strict";
import type { AnyCommandSpec, CommandSpec } from "../../cli/command.ts";
import { COMPUTE_OPTIONS, type ComputeOptions } from "../../cli/options.ts";
import { integer, InvalidValue, real, wordOr } from "../../cli/option_values.ts";
import { type Given, resolveValues } from "../../cli/values.ts";
import { UsageError } from "../../lib/base/errors.ts";

interface Options extends ComputeOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly topP: number;
  readonly stop: readonly string[];
  readonly repack: "auto" | "on" | "off";
  readonly splitDigits: boolean;
}

const typed: CommandSpec<Options, { readonly file?: string; readonly rest?: readonly string[] }> = {
  name: "try",
  group: "Generation",
  summary: "try it",
  arguments: {
    file: { value: "FILE", doc: "one" },
    rest: { value: "FILE", rest: true, doc: "the others" },
  },
  options: {
    model: { value: "PATH", required: true, doc: "model" },
    prompt: { value: "TEXT", doc: "prompt" },
    topP: { value: "P", parse: real({ min: 0, max: 1 }), default: 0.95, doc: "nucleus" },
    stop: { value: "TEXT", repeat: "each", doc: "stop" },
    repack: { value: "WHEN", choices: ["auto", "on", "off"], default: "auto", doc: "repack" },
    splitDigits: { negatable: true, default: true, doc: "split" },
    ...COMPUTE_OPTIONS,
  },
  examples: [],
  load: () => Promise.resolve({ run() {} }),
};
const spec: AnyCommandSpec = typed;

function resolve(
  options: Given["options"],
  env: Readonly<Record<string, string>> = {},
  args: Given["arguments"] = [],
) {
  return resolveValues(spec, { options, arguments: args }, (name) => env[name]);
}

function refusal(
  options: Given["options"],
  env: Readonly<Record<string, string>> = {},
): UsageError {
  try {
    resolve({ model: ["m"], ...options }, env);
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error;
  }
  assert.fail("nothing was refused");
}

Deno.test("defaults hold where nothing is given, and options without one are absent", () => {
  const { values, sources } = resolve({ model: ["m"] });
  assert.deepEqual(values, {
    model: "m",
    topP: 0.95,
    stop: [],
    repack: "auto",
    splitDigits: true,
    backend: "auto",
    threads: "auto",
    seed: 0,
    json: false,
    quiet: false,
    verbose: false,
  });
  assert.deepEqual([sources["model"], sources["topP"]], ["flag", "default"]);
});

Deno.test("a flag goes before the environment, and the environment before the default", () => {
  const env = { LLAMERO_THREADS: "3", LLAMERO_BACKEND: "native" };
  const both = resolve({ model: ["m"], threads: ["2"] }, env);
  assert.equal(both.values["threads"], 2);
  assert.equal(both.sources["threads"], "flag");
  assert.equal(both.values["backend"], "native");
  assert.equal(both.sources["backend"], "environment");
});

Deno.test("a wrong value in the environment names the variable", () => {
  const error = refusal({}, { LLAMERO_BACKEND: "nativ" });
  assert.equal(
    error.message,
    'Cannot set LLAMERO_BACKEND to "nativ": not one of auto, wasm, native, cuda',
  );
  assert.equal(error.hint, "did you mean native?");
});

Deno.test("numbers are checked for their range and their spelling", () => {
  for (const text of ["abc", "NaN", "", "1.5", "Infinity", "-0.1", "0x1", "1e999"]) {
    assert.equal(
      refusal({ topP: [text] }).message,
      `Cannot set --top-p to "${text}": not a number from 0 to 1`,
    );
  }
  assert.equal(resolve({ model: ["m"], topP: ["5e-1"] }).values["topP"], 0.5);
  assert.equal(
    refusal({ threads: ["0"] }).message,
    'Cannot set --threads to "0": not "auto" or a whole number from 1 to 1024',
  );
  assert.equal(
    refusal({ seed: ["9007199254740992"] }).message,
    'Cannot set --seed to "9007199254740992": not a whole number from 0 to 9007199254740991',
  );
});

Deno.test("the last of several values holds, unless the option takes them all", () => {
  const { values } = resolve({ model: ["a", "b"], stop: ["x", "y"] });
  assert.equal(values["model"], "b");
  assert.deepEqual(values["stop"], ["x", "y"]);
});

Deno.test("a switch can be turned off by its --no- form", () => {
  assert.equal(resolve({ model: ["m"], splitDigits: false }).values["splitDigits"], false);
});

Deno.test("an option that is required and missing is named", () => {
  assert.throws(() => resolve({}), {
    name: "UsageError",
    message: 'Cannot run "llamero try": --model PATH is missing',
  });
});

Deno.test("control characters of a wrong value do not reach the terminal", () => {
  assert.match(refusal({ topP: ["\x1b[2J"] }).message, /to "\\u001b\[2J"/);
});

Deno.test("arguments come by name in order", () => {
  const { values, sources } = resolve({ model: ["m"] }, {}, ["a", ["b", "c"]]);
  assert.equal(values["file"], "a");
  assert.deepEqual(values["rest"], ["b", "c"]);
  assert.equal(sources["file"], "flag");
  assert.equal(resolve({ model: ["m"] }, {}, [undefined, []]).sources["file"], "default");
});

Deno.test("parsers say what they wanted", () => {
  assert.throws(() => integer()("x"), new InvalidValue("a whole number"));
  assert.throws(
    () => integer()("18446744073709551616"),
    new InvalidValue("a whole number of at most 9007199254740991"),
  );
  assert.throws(() => integer({ max: 3 })("4"), new InvalidValue("a whole number of at most 3"));
  assert.throws(() => real({ min: 0 })("-1"), new InvalidValue("a number of at least 0"));
  assert.throws(() => real({ above: 0 })("0"), new InvalidValue("a number above 0"));
  assert.throws(
    () => real({ above: 0, max: 1 })("2"),
    new InvalidValue("a number above 0 and at most 1"),
  );
  assert.equal(real({ above: 0, max: 1 })("1"), 1);
  assert.equal(wordOr("auto", integer())("auto"), "auto");
  assert.equal(integer({ min: 1 })("+7"), 7);
});
