/**
 * Trains one model twice, in llamero and in PyTorch, from the same weights on the same batches with the same
 * recipe, and compares the losses: a Llama of 15M parameters (vocabulary 32,000, tied) in f32.
 *
 *     deno run -A scripts/parity/compare.ts --tokenizer TOKENIZER --out FOLDER [--steps N]
 *         [--batch-tokens N] [--lr X] [--threads N] [--python PYTHON] [--together] TEXT...
 *
 * TOKENIZER has 32,000 tokens. The last tenth of every text is held out. `--together` trains both at once.
 * PYTHON has torch, transformers and numpy; nothing else in the repository needs this script. Ends with 1
 * where the mean loss of the last tenth of the steps, or that of the held-out text, differs by more than one percent.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const TOLERANCE = 0.01;
const SEQ_LEN = 256;
/** Text that is held out of every file. */
const HELD_OUT = 0.1;
/** A 15M Llama, as Hugging Face's config.json says it. */
const CONFIG = {
  vocab_size: 32000,
  hidden_size: 288,
  intermediate_size: 768,
  num_hidden_layers: 6,
  num_attention_heads: 6,
  num_key_value_heads: 6,
  max_position_embeddings: SEQ_LEN,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 2,
};

const { values: options, positionals: texts } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    tokenizer: { type: "string" },
    out: { type: "string" },
    steps: { type: "string", default: "400" },
    "batch-tokens": { type: "string", default: "2048" },
    lr: { type: "string", default: "1e-3" },
    threads: { type: "string", default: String(navigator.hardwareConcurrency) },
    python: { type: "string", default: "python3" },
    together: { type: "boolean", default: false },
  },
});
const { tokenizer, out, python, threads } = options;
if (tokenizer === undefined || out === undefined || texts.length === 0) {
  console.error("Cannot compare: --tokenizer, --out and texts were wanted");
  Deno.exit(2);
}
const inOut = (...names: string[]) => join(out, ...names);
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Runs a program to its end, with what it prints. @throws {Error} Where it fails. */
async function run(program: string, args: readonly string[]): Promise<void> {
  const env = { OMP_NUM_THREADS: threads };
  const { success } = await new Deno.Command(program, { args: [...args], env }).spawn().status;
  if (!success) throw new Error(`${[program, ...args].join(" ")} failed`);
}

/** Splits a text at a line break into what is trained on and what is held out; gives both files. */
function split(text: string): { readonly trained: string; readonly heldOut: string } {
  const content = Deno.readTextFileSync(text);
  const at = content.indexOf("\n", Math.floor(content.length * (1 - HELD_OUT))) + 1;
  const files = {
    trained: inOut("texts", `train-${basename(text)}`),
    heldOut: inOut("texts", `eval-${basename(text)}`),
  };
  Deno.writeTextFileSync(files.trained, content.slice(0, at));
  Deno.writeTextFileSync(files.heldOut, content.slice(at));
  return files;
}

function trainLlamero(files: readonly ReturnType<typeof split>[]): Promise<void> {
  const steps = Number(options.steps);
  return run(Deno.execPath(), [
    ...["run", "-A", script("../../cli/main.ts"), "train", "--out", inOut("run")],
    ...["--init", inOut("init"), "--tokenizer", tokenizer!],
    ...["--text", ...files.map(({ trained }) => trained)],
    ...files.flatMap(({ heldOut }) => ["--eval-data", heldOut]),
    ...["--steps", options.steps, "--warmup", String(Math.ceil(steps / 10)), "--lr", options.lr],
    ...["--seq-len", String(SEQ_LEN), "--batch-tokens", options["batch-tokens"]],
    ...["--document-mask", "off", "--dtype", "f32", "--threads", threads],
    ...["--eval-every", options.steps, "--eval-sequences", "100000"],
  ]);
}

async function trainPyTorch(): Promise<void> {
  // The metrics come after the config and the data, which batches are read from.
  while (!existsSync(inOut("run", "metrics.jsonl"))) await new Promise((r) => setTimeout(r, 500));
  await run(Deno.execPath(), [
    ...["run", "-A", script("training_batches.ts"), inOut("run"), inOut("batches")],
  ]);
  await run(python, [
    ...[script("train_pytorch.py"), "train", inOut("run"), inOut("init"), inOut("batches")],
    ...[inOut("pytorch.json"), "--threads", threads],
  ]);
}

interface Losses {
  readonly losses: readonly number[];
  readonly eval_loss: number;
}

function lossesOfLlamero(): Losses {
  const rows = Deno.readTextFileSync(inOut("run", "metrics.jsonl")).trim().split("\n")
    .map((line) => JSON.parse(line) as { loss: number; eval_loss: number });
  return { losses: rows.map(({ loss }) => loss), eval_loss: rows.at(-1)!.eval_loss };
}

/** Prints both losses; tells whether they are close. */
function close(name: string, ours: number, theirs: number): boolean {
  const apart = Math.abs(ours / theirs - 1);
  const [a, b] = [ours, theirs].map((loss) => loss.toFixed(5));
  console.log(`${name}: llamero ${a}, PyTorch ${b}, ${(100 * apart).toFixed(3)}% apart`);
  return apart <= TOLERANCE;
}

Deno.mkdirSync(inOut("texts"), { recursive: true });
const files = texts.map(split);
Deno.writeTextFileSync(inOut("config.json"), JSON.stringify(CONFIG));
await run(python, [script("train_pytorch.py"), "init", inOut("config.json"), inOut("init")]);
if (options.together) await Promise.all([trainLlamero(files), trainPyTorch()]);
else {
  await trainLlamero(files);
  await trainPyTorch();
}
const ours = lossesOfLlamero();
const theirs = JSON.parse(Deno.readTextFileSync(inOut("pytorch.json"))) as Losses;
const tail = Math.max(1, Math.floor(ours.losses.length / 10));
const mean = ({ losses }: Losses) => losses.slice(-tail).reduce((sum, x) => sum + x, 0) / tail;
const good = [
  close(`mean of the last ${tail} of ${ours.losses.length} steps`, mean(ours), mean(theirs)),
  close("held-out text", ours.eval_loss, theirs.eval_loss),
];
if (!good.every((is) => is)) Deno.exit(1);
