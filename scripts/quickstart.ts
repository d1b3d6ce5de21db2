/**
 * The first thing to run: from text to a quantized model that writes, with nothing but this repository
 * and its packages, showing every command.
 *
 *     deno task quickstart [--text FILE] [--steps N]
 *
 * The text is what `deno types` prints, some 700 kilobytes of TypeScript that are on every machine
 * with Deno, unless `--text` names another.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "./source_files.ts";

/** Where everything goes, in the folder that the user called from. */
const NAME = "quickstart-run";
/** What this script writes there, and all that it replaces. */
const OURS = new Set([
  "text.txt",
  "held-out.txt",
  "recipe.toml",
  "tokenizer",
  "data",
  "run",
  "model.gguf",
  "model-q8_0.gguf",
]);
/** Share of the text that is kept from the model, to see whether it learns more than by heart. */
const HELD_OUT = 0.03;
/** What texts are begun with that are TypeScript. */
const TYPESCRIPT_PROMPT = "export interface ";
/** Characters of a prompt that is the beginning of the text that is held out. */
const PROMPT_LENGTH = 24;
/** A text of more characters than this, such as one in Chinese, gets the larger vocabulary. */
const MANY_CHARACTERS = 500;
/** Each in 50 of a text's characters may be spelled in bytes then: the rare ones are many. */
const MANY_CHARACTERS_OPTIONS = ["--vocab-size", "4096", "--character-coverage", "0.98"];

/** A Llama of a million parameters that two cores train in some two minutes. */
const RECIPE = `preset = "debug"
seq-len = 128
batch-tokens = 2048
lr = 4e-3
min-lr = 4e-4

[model]
hidden-size = 128
intermediate-size = 352
num-hidden-layers = 4
num-attention-heads = 4
num-key-value-heads = 2
head-dim = 32
`;

const caller = Deno.env.get("INIT_CWD") ?? Deno.cwd();
const folder = join(caller, NAME);

function say(text = ""): void {
  console.log(text);
}

function fail(message: string, hint: string): never {
  console.error(message);
  console.error(`hint: ${hint}`);
  Deno.exit(1);
}

interface Flags {
  readonly text: string | undefined;
  readonly steps: number;
}

function flags(): Flags {
  try {
    const { values } = parseArgs({
      args: Deno.args,
      options: { text: { type: "string" }, steps: { type: "string", default: "300" } },
    });
    const steps = Number(values.steps);
    if (!Number.isInteger(steps) || steps < 1) {
      throw new TypeError(`"${values.steps}" is no number`);
    }
    return { text: values.text, steps };
  } catch (error) {
    return fail(
      `Cannot run the quickstart: ${(error as Error).message}`,
      "it takes --text FILE and --steps N",
    );
  }
}

/** Makes the folder anew; one of the same name that holds something else is left alone. */
async function makeFolder(): Promise<void> {
  if (existsSync(folder)) {
    for await (const { name } of Deno.readDir(folder)) {
      if (OURS.has(name)) continue;
      fail(
        `Cannot use the folder "${NAME}": it holds "${name}", which is not ours`,
        "move it away, or call from another folder",
      );
    }
    await Deno.remove(folder, { recursive: true });
  }
  await Deno.mkdir(join(folder, "data"), { recursive: true });
}

/** The text, and what of the training depends on it. */
interface Texts {
  readonly prompt: string;
  readonly tokenizer: readonly string[];
}

/** Writes the text, and the part of it that is held out. */
async function writeTexts(given: string | undefined): Promise<Texts> {
  say(given === undefined ? "$ deno types" : `Reading ${given}`);
  const text = given === undefined ? await printedTypes() : await read(resolve(caller, given));
  const cut = cutOf(text);
  if (cut < 20_000) fail("Cannot learn from so short a text", "give 20 kilobytes or more");
  await Deno.writeTextFile(join(folder, "text.txt"), text.slice(0, cut));
  await Deno.writeTextFile(join(folder, "held-out.txt"), text.slice(cut));
  await Deno.writeTextFile(join(folder, "recipe.toml"), RECIPE);
  say(`${text.length} characters; the last ${text.length - cut} are held out`);
  return {
    prompt: given === undefined ? TYPESCRIPT_PROMPT : promptOf(text.slice(cut)),
    tokenizer: tokenizerOptions(text),
  };
}

function tokenizerOptions(text: string): string[] {
  const hasMany = new Set(text).size > MANY_CHARACTERS;
  // Longer lines than SentencePiece's 4192 bytes would be left out.
  const bytes = text.split("\n").map((line) => new TextEncoder().encode(line).length);
  const longest = bytes.reduce((a, b) => Math.max(a, b), 4192);
  return [
    ...(hasMany ? MANY_CHARACTERS_OPTIONS : ["--vocab-size", "1024"]),
    ...(longest > 4192 ? ["--max-sentence-length", `${longest}`] : []),
    // A text of few words may have fewer pieces.
    "--no-hard-vocab-limit",
  ];
}

/** Where the part that is held out begins: at the end of a line, where lines are not endless. */
function cutOf(text: string): number {
  const wanted = Math.floor(text.length * (1 - HELD_OUT));
  const line = text.lastIndexOf("\n", wanted);
  if (line > wanted / 2) return line;
  // Not within a pair of surrogates.
  return /[\udc00-\udfff]/.test(text.charAt(wanted)) ? wanted - 1 : wanted;
}

/** What the text that is held out begins with, whole words where there are spaces. */
function promptOf(text: string): string {
  const [line = ""] = text.trimStart().split("\n");
  const characters = [...line];
  if (characters.length <= PROMPT_LENGTH) return line;
  const begun = characters.slice(0, PROMPT_LENGTH).join("");
  const space = begun.lastIndexOf(" ");
  return space > 0 ? begun.slice(0, space) : begun;
}

async function read(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    return fail(`Cannot read "${path}": ${(error as Error).message}`, "give a text in UTF-8");
  }
}

async function printedTypes(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["types"],
    env: { NO_COLOR: "1" },
  }).output();
  return new TextDecoder().decode(stdout);
}

/** Shows a command of the command line and runs it. */
async function show(...args: string[]): Promise<void> {
  const shown = args.map((arg) => /\s/.test(arg) ? `"${arg}"` : arg);
  say(`\n$ deno task llamero ${shown.join(" ")}`);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", join(ROOT, "cli/main.ts"), ...args],
    cwd: dirname(folder),
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (code === 0) return;
  console.error(`the command ended with ${code}`);
  Deno.exit(code);
}

/** Path of one of our files, as the commands take it. */
const at = (name: string) => `${NAME}/${name}`;

async function main(): Promise<void> {
  const start = performance.now();
  const { text, steps } = flags();
  say(`Training a small Llama from nothing but text, in ./${NAME}.\n`);
  await makeFolder();
  const { prompt, tokenizer: options } = await writeTexts(text);
  const tokenizer = at("tokenizer");
  await show("tokenize", "train", at("text.txt"), "--out", tokenizer, ...options);
  for (const name of ["text", "held-out"]) {
    const out = at(`data/${name}`);
    await show("tokenize", "pack", at(`${name}.txt`), "--tokenizer", tokenizer, "--out", out);
  }
  const every = Math.max(1, Math.round(steps / 5));
  await show(
    ...["train", "--out", at("run"), "--config", at("recipe.toml"), "--tokenizer", tokenizer],
    ...["--data", at("data/text"), "--eval-data", at("data/held-out"), "--steps", `${steps}`],
    ...["--save-every", `${every}`, "--log-every", `${Math.max(1, Math.round(every / 2))}`],
    ...["--sample-prompt", prompt, "--sample-tokens", "48"],
  );
  const trained = at("run/checkpoints/latest");
  await show("convert", trained, at("model.gguf"), "--to", "gguf", "--dtype", "f16");
  await show("quantize", at("model.gguf"), at("model-q8_0.gguf"), "--type", "q8_0");
  await show(
    ...["generate", "--model", at("model-q8_0.gguf"), "--prompt", prompt],
    ...["--max-tokens", "120", "--temperature", "0.5"],
  );
  const seconds = (performance.now() - start) / 1000;
  say(`\n\nDone in ${seconds.toFixed(0)} s. Look at the course of the training in a browser:`);
  say(`\n  ${join(folder, "run/report.html")}`);
  say("\nand go on for as long as you like; it will write better:");
  say(`\n$ deno task llamero train --out ${at("run")} --resume --steps ${10 * steps}`);
}

await main();
