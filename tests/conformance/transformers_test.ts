import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { decodeElements } from "../../lib/tensor/dtype.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { runCli } from "../cli/run_cli.ts";
import { temporaryFolder } from "../formats/folder.ts";
import { REPOSITORY } from "../fixtures.ts";
import { runPython, testWithPython } from "./python.ts";

/** The bound of the issue: what float32 rounding in another order can do, and no more. */
const TOLERANCE = 1e-4;

const PROGRAM = `
import json, sys, torch
from transformers import AutoModelForCausalLM
torch.manual_seed(0)
given = json.load(sys.stdin)
model = AutoModelForCausalLM.from_pretrained(given["path"], dtype=torch.float32)
with torch.no_grad():
    logits = model(torch.tensor(given["ids"])).logits
print(json.dumps({"logits": logits.flatten().tolist(), "class": type(model).__name__}))
`;

async function run(args: readonly string[]): Promise<void> {
  const { code, stderr } = await runCli(args);
  strictEqual(code, 0, stderr);
}

/** Fails unless transformers computes the probe's logits of a folder's model. */
async function assertSameLogits(path: string, vocab: number, folder: string): Promise<void> {
  const ids = [0, 1].map((row) => Array.from({ length: 24 }, (_, i) => (row * 31 + i * 7) % vocab));
  await Deno.writeTextFile(join(folder, "batch.json"), JSON.stringify({ input_ids: ids }));
  const out = join(folder, "out.safetensors");
  await run(["probe", "--model", path, "--batch", join(folder, "batch.json"), "--out", out]);
  const record = (await readSafetensors(out)).records.get("logits")!;
  const ours = decodeElements("f32", (await readTensor(record)).slice().buffer);
  const theirs = runPython(PROGRAM, { path, ids }) as { logits: number[]; class: string };
  deepStrictEqual([theirs.class, theirs.logits.length], ["LlamaForCausalLM", ours.length]);
  const worst = ours.reduce((max, x, i) => Math.max(max, Math.abs(x - theirs.logits[i]!)), 0);
  ok(worst < TOLERANCE, `logits differ by ${worst}`);
}

const GOLDEN = ["llama_mha", "llama_gqa_tied", "llama3"];
for (const name of GOLDEN) {
  testWithPython(
    "transformers",
    `transformers computes our logits of ${name}, written by us`,
    async () => {
      using folder = temporaryFolder();
      const source = join(REPOSITORY, "tests/golden", name);
      const { vocab_size } = JSON.parse(await Deno.readTextFile(join(source, "config.json")));
      const path = join(folder.path, "hf");
      await run(["convert", source, join(folder.path, "m.gguf"), "--to", "gguf"]);
      await run(["convert", join(folder.path, "m.gguf"), path, "--to", "hf"]);
      await assertSameLogits(path, vocab_size, folder.path);
    },
  );
}

testWithPython(
  "transformers",
  "transformers loads a checkpoint of training and agrees",
  async () => {
    using folder = temporaryFolder();
    const at = (name: string) => join(folder.path, name);
    const words = "the quick brown fox jumps over the lazy dog while 42 cats sleep\n";
    await Deno.writeTextFile(at("text"), words.repeat(200));
    await run(["tokenize", "train", at("text"), "--out", at("tok"), "--vocab-size", "300"]);
    await run([
      ...["train", "--out", at("run"), "--preset", "debug", "--tokenizer", at("tok")],
      ...["--text", at("text"), "--steps", "6", "--seq-len", "32", "--quiet"],
    ]);
    await assertSameLogits(join(at("run"), "checkpoints", "latest"), 300, folder.path);
  },
);
