import assert from "node:assert/strict";
import { COMMANDS } from "../../cli/catalog.ts";
import { reportFailure } from "../../cli/failure.ts";
import { ClosedPipe } from "../../cli/io.ts";
import { main } from "../../cli/main.ts";
import { FormatError, Interrupted } from "../../lib/base/errors.ts";
import { memoryIo, runCli } from "./run_cli.ts";

Deno.test("--version prints the version of deno.json and ends with 0", async () => {
  const { default: config } = await import("../../deno.json", { with: { type: "json" } });
  for (const flag of ["--version", "-V"]) {
    assert.deepEqual(await runCli([flag]), {
      code: 0,
      stdout: `llamero ${config.version}\n`,
      stderr: "",
    });
  }
});

Deno.test("a call without a command shows the help on stderr and ends with 2", async () => {
  const { code, stdout, stderr } = await runCli([]);
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^Usage: llamero <command>/);
});

Deno.test("a misspelt command gets a did-you-mean and ends with 2", async () => {
  assert.deepEqual(await runCli(["docter"]), {
    code: 2,
    stdout: "",
    stderr: 'llamero: Cannot run "llamero": there is no command "docter"\n' +
      "hint: did you mean doctor?\n",
  });
});

Deno.test("a command that resembles none is pointed to the help", async () => {
  const { code, stderr } = await runCli(["xyzzy"]);
  assert.equal(code, 2);
  assert.match(stderr, /there is no command "xyzzy"\nhint: llamero --help lists the commands\n$/);
});

Deno.test("a misspelt subcommand gets a did-you-mean", async () => {
  const { code, stderr } = await runCli(["bench", "genrate"]);
  assert.equal(code, 2);
  assert.match(stderr, /Cannot run "llamero bench": there is no command "genrate"/);
  assert.match(stderr, /hint: did you mean generate\?/);
});

Deno.test("the words above subcommands have a help, and are named in errors", async () => {
  for (const args of [["bench", "--help"], ["help", "bench"]]) {
    const { code, stdout } = await runCli(args);
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: llamero bench <command>/);
    assert.match(stdout, /^Commands:\n {2}generate /m);
  }
  const alone = await runCli(["bench"]);
  assert.deepEqual([alone.code, alone.stdout], [2, ""]);
  const { stderr } = await runCli(["bench", "--nope"]);
  assert.match(stderr, /Cannot run "llamero bench": there is no option "--nope"/);
});

Deno.test("a misspelt option gets a did-you-mean, with a value or without", async () => {
  for (const option of ["--jsno", "--jsno=1"]) {
    const { code, stderr } = await runCli(["doctor", option]);
    assert.equal(code, 2);
    assert.match(stderr, /Cannot run "llamero doctor": there is no option "--jsno/);
    assert.match(stderr, /hint: did you mean --json\?/);
  }
});

Deno.test("a misspelt choice gets a did-you-mean and the list", async () => {
  assert.deepEqual(await runCli(["completions", "fishh"]), {
    code: 2,
    stdout: "",
    stderr: 'llamero: Cannot set SHELL to "fishh": not one of bash, zsh, fish\n' +
      "hint: did you mean fish?\n",
  });
});

Deno.test("a missing and a superfluous argument are named", async () => {
  const missing = await runCli(["completions"]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /Cannot run "llamero completions": SHELL is missing/);
  const more = await runCli(["completions", "bash", "zsh"]);
  assert.equal(more.code, 2);
  assert.match(more.stderr, /got the arguments "bash, zsh", and wanted at most 1/);
});

Deno.test("no error message names the words of the parser behind it", async () => {
  const lines = [["--nope"], ["doctor", "x"], ["doctor", "--nope"], ["completions"], ["help", "x"]];
  for (const args of lines) {
    const { code, stderr } = await runCli(args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr, /^llamero: Cannot .*\nhint: .*\n$/, args.join(" "));
    assert.doesNotMatch(stderr, /commander|error:/i);
  }
});

Deno.test("every command's record bears its own name and a group, and its help works", async () => {
  for (const [name, load] of Object.entries(COMMANDS)) {
    const { spec } = await load();
    assert.equal(spec.name, name);
    const { code, stdout, stderr } = await runCli([...name.split(" "), "--help"]);
    assert.deepEqual([code, stderr], [0, ""], name);
    assert.ok(stdout.startsWith(`Usage: llamero ${name} `), name);
  }
});

Deno.test("a reader that goes away ends the command quietly", async () => {
  const { io, ended } = memoryIo();
  const closed = {
    ...io,
    stdout: {
      ...io.stdout,
      write: () => {
        throw new ClosedPipe();
      },
    },
  };
  assert.equal(await main(["man"], closed), 0);
  assert.equal(ended().stderr, "");
});

Deno.test("a failure prints its message and its hint, and ends with its exit code", () => {
  const { io, ended } = memoryIo();
  const error = new FormatError('Cannot read "x": no magic', { hint: "try y" });
  assert.equal(reportFailure(error, io, false), 1);
  assert.equal(reportFailure(new Interrupted("Interrupted"), io, false), 130);
  assert.equal(
    ended().stderr,
    'llamero: Cannot read "x": no magic\nhint: try y\nllamero: Interrupted\n',
  );
});

Deno.test("a mistake of ours names its class, and its stack only with --verbose", () => {
  const quiet = memoryIo();
  assert.equal(reportFailure(new TypeError("x is undefined"), quiet.io, false), 1);
  assert.equal(
    quiet.ended().stderr,
    "llamero: TypeError: x is undefined\nhint: run it again with --verbose for the stack\n",
  );
  const verbose = memoryIo();
  const cause = new RangeError("the cause");
  reportFailure(new FormatError("Cannot go on: x", { cause }), verbose.io, true);
  const { stderr } = verbose.ended();
  assert.match(stderr, /^llamero: Cannot go on: x\n/);
  assert.match(stderr, /main_test\.ts:\d+/);
  assert.match(stderr, /RangeError: the cause/);
});
