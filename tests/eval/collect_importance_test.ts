import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { collectImportance } from "../../lib/eval/collect_importance.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { LanguageModel } from "../../lib/infer/language_model.ts";
import { readImportance } from "../../lib/quant/importance_file.ts";
import { writeImportance } from "../../lib/quant/importance_write.ts";
import { testWith } from "../fixtures.ts";
import { STORIES, STORIES_TOKENIZER } from "../infer/stories.ts";
import { runCli } from "../cli/run_cli.ts";

const NEEDED = [`${STORIES}/config.json`];
const TEXT = "Once upon a time, there was a little boy named Tim. He had a red ball. ".repeat(10);

async function open(threads: number): Promise<LanguageModel> {
  const backend = openBackend({ backend: "wasm", threads });
  return await LanguageModel.open(STORIES, { backend, tokenizer: STORIES_TOKENIZER });
}

testWith(NEEDED, "the first block's importance is that of the normed embeddings", async () => {
  const model = await open(1);
  const { config, weights, backend } = model.decoder;
  const D = config.hiddenSize;
  const context = 64;
  const { entries, chunks, chunkTokens } = await collectImportance(model, { text: TEXT, context });
  deepStrictEqual(chunkTokens, context);
  // RMSNorm of each token's embedding, in double precision.
  const table = new Float32Array(config.vocabSize * D);
  const scale = new Float32Array(D);
  backend.download(table, weights.embedding.address);
  backend.download(scale, weights.blocks[0]!.attentionNorm);
  const wanted = new Float64Array(D);
  const ids = model.encodePrompt(TEXT);
  for (let i = 0; i < chunks * context; i++) {
    const id = i % context === 0 ? 1 : ids[i]!;
    const row = table.subarray(id * D, (id + 1) * D);
    const mean = row.reduce((sum, x) => sum + x * x, 0) / D;
    row.forEach((x, k) => wanted[k]! += (x * scale[k]!) ** 2 / (mean + config.normEps));
  }
  for (const part of ["q", "k", "v"]) {
    const { squares, rows } = entries.find(({ name }) => name === `blk.0.attn_${part}.weight`)!;
    strictEqual(rows, chunks * context);
    wanted.forEach((x, k) => ok(Math.abs(squares[k]! - x) <= 1e-4 * x, `${part} ${k}`));
  }
  strictEqual(entries.length, 7 * config.numHiddenLayers);
  strictEqual(new Set(entries.map(({ name }) => name)).size, entries.length);
});

testWith(NEEDED, "importance does not depend on threads, and reads back as means", async () => {
  const [one, three] = [await open(1), await open(3)];
  const collected = await collectImportance(one, { text: TEXT, context: 100 });
  deepStrictEqual(await collectImportance(three, { text: TEXT, context: 100 }), collected);
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  try {
    await writeImportance(path, collected, { dataset: "tim.txt", force: true });
    const { columns, chunks, datasets } = await readImportance(path);
    deepStrictEqual([chunks, datasets], [collected.chunks, ["tim.txt"]]);
    for (const { name, squares, rows } of collected.entries) {
      const mean = Float32Array.from(Float32Array.from(squares), (sum) => sum / rows);
      deepStrictEqual(columns.get(name), mean);
    }
  } finally {
    await Deno.remove(path);
  }
});

testWith(NEEDED, "importance, quantize and eval perplexity work in a row", async () => {
  const folder = await Deno.makeTempDir();
  const at = (name: string) => join(folder, name);
  const common = ["--tokenizer", STORIES_TOKENIZER, "--backend", "wasm"];
  try {
    await Deno.writeTextFile(at("text"), TEXT);
    const made = await runCli(
      ["importance", "--model", STORIES, "--text", at("text"), "--out", at("i.gguf"), ...common],
    );
    deepStrictEqual([made.code, made.stderr], [0, ""]);
    const quantized = await runCli(
      [
        "quantize",
        STORIES,
        at("q.gguf"),
        "--type",
        "q4_0",
        "--importance",
        at("i.gguf"),
        ...common,
      ],
    );
    strictEqual(quantized.code, 0, quantized.stderr);
    const args = ["--model", at("q.gguf"), "--reference", STORIES, "--text", at("text"), "--json"];
    const judged = await runCli(["eval", "perplexity", ...args, ...common]);
    deepStrictEqual([judged.code, judged.stderr], [0, ""]);
    const result = JSON.parse(judged.stdout);
    ok(result.perplexity > 1 && result.standard_error > 0);
    ok(result.kl_divergence.mean > 0 && result.same_top > 0.5 && result.same_top <= 1);
    ok(result.bits_per_weight < result.reference.bits_per_weight);
    const again = await runCli(
      ["importance", "--model", STORIES, "--text", at("text"), "--out", at("i.gguf"), ...common],
    );
    strictEqual(again.code, 1);
    ok(/^llamero: Cannot write .*: it exists already\nhint: /.test(again.stderr), again.stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
