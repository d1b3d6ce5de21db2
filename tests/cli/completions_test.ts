import assert from "node:assert/strict";
import type { AnyCommandSpec, CommandSpec } from "../../cli/command.ts";
import { bashCompletion } from "../../cli/completion/bash.ts";
import { fishCompletion } from "../../cli/completion/fish.ts";
import type { ProgramWords } from "../../cli/completion/words.ts";
import { programWords } from "../../cli/completion/words.ts";
import { zshCompletion } from "../../cli/completion/zsh.ts";
import { REPORT_OPTIONS, type ReportOptions } from "../../cli/options.ts";
import { runCli } from "./run_cli.ts";

interface Options extends ReportOptions {
  readonly model: string;
  readonly kvType: "f32" | "f16";
  readonly prompt?: string;
  readonly splitDigits: boolean;
}

const generate: CommandSpec<Options, { readonly file: string }> = {
  name: "bench generate",
  group: "Measurement",
  summary: "it's a test: [odd] characters",
  arguments: { file: { value: "FILE", doc: "a file" } },
  options: {
    model: { value: "PATH", short: "m", doc: "the model's [path]: a folder" },
    kvType: { value: "TYPE", choices: ["f32", "f16"], doc: "type" },
    prompt: { value: "TEXT", doc: "prompt" },
    splitDigits: { negatable: true, doc: "split" },
    ...REPORT_OPTIONS,
  },
  examples: [],
  load: () => Promise.reject(new Error("never")),
};
const doctor: CommandSpec<ReportOptions> = {
  ...generate,
  name: "doctor",
  options: REPORT_OPTIONS,
  arguments: {},
};
const specs: readonly AnyCommandSpec[] = [generate, doctor];
const words: ProgramWords = programWords(specs);

/** What a shell prints for a script on stdin, or `undefined` where the shell is not there. */
async function shell(
  program: string,
  options: { args: string[]; script: string; cwd?: string },
): Promise<string | undefined> {
  let child: Deno.ChildProcess;
  try {
    const { args, cwd } = options;
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    child = new Deno.Command(program, { args, ...pipes, ...(cwd && { cwd }) }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(options.script));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  assert.ok(success, decoder.decode(stderr));
  assert.equal(decoder.decode(stderr), "");
  return decoder.decode(stdout);
}

const present = async (program: string): Promise<boolean> =>
  await shell(program, { args: ["-c", "true"], script: "" }).catch(() => undefined) !== undefined;

/** Registers a test that needs a shell; where it is absent the test is ignored with the reason. */
async function testIn(program: string, name: string, fn: () => Promise<void>): Promise<void> {
  const there = Deno.build.os !== "windows" && await present(program);
  Deno.test({ name: there ? name : `${name} (ignored: no ${program})`, ignore: !there, fn });
}

/** What bash offers for the last of the given words. */
async function bashOffers(typed: string[], cwd?: string): Promise<string[]> {
  const quoted = typed.map((word) => `'${word}'`).join(" ");
  const script = `${bashCompletion(words)}
COMP_WORDS=(llamero ${quoted}); COMP_CWORD=${typed.length}; _llamero
printf '%s\\n' "\${COMPREPLY[@]}"\n`;
  const offered = await shell("bash", {
    args: ["--norc", "-s"],
    script,
    ...(cwd !== undefined && { cwd }),
  });
  return offered!.split("\n").filter((line) => line !== "");
}

await testIn("bash", "bash completes commands and subcommands", async () => {
  assert.deepEqual(await bashOffers([""]), ["bench", "doctor", "--help", "--version"]);
  assert.deepEqual(await bashOffers(["do"]), ["doctor"]);
  assert.deepEqual(await bashOffers(["bench", ""]), ["generate"]);
});

await testIn("bash", "bash completes flags, both forms of a switch included", async () => {
  assert.deepEqual(await bashOffers(["bench", "generate", "--k"]), ["--kv-type"]);
  assert.deepEqual(await bashOffers(["bench", "generate", "--json", "--no"]), [
    "--no-split-digits",
  ]);
  assert.deepEqual(await bashOffers(["doctor", "--"]), [
    "--json",
    "--quiet",
    "--verbose",
    "--help",
  ]);
});

await testIn("bash", "bash completes choices, after a space or an equals sign", async () => {
  assert.deepEqual(await bashOffers(["bench", "generate", "--kv-type", ""]), ["f32", "f16"]);
  assert.deepEqual(await bashOffers(["bench", "generate", "--kv-type", "=", "f1"]), ["f16"]);
  assert.deepEqual(await bashOffers(["bench", "generate", "--kv-type", "="]), ["f32", "f16"]);
});

await testIn("bash", "bash completes files where a file is wanted, and only there", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/a model.gguf`, "");
    for (const before of [["--model"], ["-m"], ["--json"]]) {
      const offers = await bashOffers(["bench", "generate", ...before, ""], folder);
      assert.deepEqual(offers, ["a model.gguf"], before[0]);
    }
    assert.deepEqual(await bashOffers(["bench", "generate", "--prompt", ""], folder), []);
    assert.deepEqual(await bashOffers(["doctor", ""], folder), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

await testIn("zsh", "zsh accepts its script", async () => {
  await shell("zsh", { args: ["-n", "-s"], script: zshCompletion(words) });
});

/** What fish offers for a command line. */
async function fishOffers(line: string): Promise<string[]> {
  const script = `${fishCompletion(words)}\ncomplete -C '${line}'\n`;
  const offered = await shell("fish", { args: ["--no-config"], script });
  return offered!.split("\n").filter((text) => text !== "").map((text) => text.split("\t")[0]!);
}

await testIn("fish", "fish completes commands, flags and choices", async () => {
  assert.deepEqual(await fishOffers("llamero "), ["bench", "doctor"]);
  assert.deepEqual(await fishOffers("llamero bench "), ["generate"]);
  assert.deepEqual(await fishOffers("llamero bench generate --kv-type "), ["f16", "f32"]);
  assert.deepEqual(await fishOffers("llamero bench generate --spl"), ["--split-digits"]);
  assert.deepEqual(await fishOffers("llamero doctor --j"), ["--json"]);
});

Deno.test("each shell's script of the real program names every command", async () => {
  for (const name of ["bash", "zsh", "fish"]) {
    const { code, stdout } = await runCli(["completions", name]);
    assert.equal(code, 0);
    for (const word of ["doctor", "completions", "man"]) assert.ok(stdout.includes(word), word);
  }
});
