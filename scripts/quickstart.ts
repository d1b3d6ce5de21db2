/**
 * The first thing to run: makes a tiny model with nothing but this repository and its packages, then
 * looks at it and generates from it with the commands that it shows.
 *
 *     deno task quickstart
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./source_files.ts";
import { writeRandomModel } from "./quickstart_model.ts";

/** Where the model goes, in the folder that the user called from. */
const NAME = "quickstart-run";
/** What this script writes there, and all that it replaces. */
const OURS = new Set(["config.json", "model.safetensors", "tokenizer.model"]);

const caller = Deno.env.get("INIT_CWD") ?? Deno.cwd();
const folder = join(caller, NAME);

function say(text = ""): void {
  console.log(text);
}

/** Refuses a folder of the same name that holds something else. */
async function checkFolder(): Promise<void> {
  if (!existsSync(folder)) return;
  for await (const { name } of Deno.readDir(folder)) {
    if (OURS.has(name)) continue;
    console.error(`Cannot use the folder "${NAME}": it holds "${name}", which is not ours`);
    console.error("hint: move it away, or call from another folder");
    Deno.exit(1);
  }
}

/** Makes the model under another name, so that the folder is there whole or not at all. */
async function makeModel(): Promise<void> {
  await checkFolder();
  const made = await Deno.makeTempDir({ dir: caller, prefix: `${NAME}.` });
  try {
    const text = await Deno.readTextFile(join(ROOT, "README.md"));
    await writeRandomModel(join(made, "model"), text);
    await Deno.remove(folder, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    await Deno.rename(join(made, "model"), folder);
  } finally {
    await Deno.remove(made, { recursive: true });
  }
}

/** Shows a command of the command line and runs it. */
async function show(...args: string[]): Promise<void> {
  const shown = args.map((arg) => /[\s]/.test(arg) ? `"${arg}"` : arg);
  say(`\n$ deno task llamero ${shown.join(" ")}`);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", join(ROOT, "cli/main.ts"), ...args],
    cwd: caller,
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (code === 0) return;
  console.error(`the command ended with ${code}`);
  Deno.exit(code);
}

const start = performance.now();
say(
  "Making a Llama of two layers in ./" + NAME + ": its vocabulary is learned from README.md, and",
);
say("its weights are random. Nobody has trained it, so what it writes is noise: this shows that");
say("every part works, from the tokenizer to the kernels, and not what a model can say.");
await makeModel();
await show("inspect", NAME);
await show("generate", "--model", NAME, "--prompt", "Once upon a time", "--max-tokens", "48");
await show("doctor");
const seconds = (performance.now() - start) / 1000;
say(
  `\nDone in ${
    seconds.toFixed(1)
  } s. Now take a real model, a Hugging Face folder or a .gguf file:`,
);
say('\n$ deno task llamero generate --model path/to/model --prompt "Once upon a time"');
