import assert from "node:assert/strict";
import { join } from "node:path";
import { FIXTURES, golden, MODELS, testWith } from "../fixtures.ts";
import { withFolder } from "../formats/folder.ts";
import { tensor, tensors, writeHuggingFace } from "../checkpoint/small_model.ts";
import { runCli } from "./run_cli.ts";

interface Report {
  format: string;
  config: Record<string, unknown> | null;
  parameters: number;
  tokenizer: { path: string; kind: string; vocab_size: number } | null;
  tensors: {
    name: string;
    dtype: string;
    shape: number[];
    stats?: Record<string, number | null> | null;
  }[];
}

async function inspect(...args: string[]): Promise<Report> {
  const { code, stdout, stderr } = await runCli(["inspect", ...args, "--json"]);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  assert.equal(stdout.trimEnd().split("\n").length, 1, "exactly one line");
  return JSON.parse(stdout) as Report;
}

for (const name of ["llama_mha", "llama_gqa", "llama_gqa_tied", "llama3", "palm"]) {
  Deno.test(`inspect --json of ${name} says its config, parameters and tensors`, async () => {
    const expected = JSON.parse(Deno.readTextFileSync(golden(`${name}/expected.json`)));
    const config = JSON.parse(Deno.readTextFileSync(golden(`${name}/config.json`)));
    const report = await inspect(golden(name));
    assert.equal(report.format, "hf");
    assert.equal(report.parameters, expected.n_params);
    const shapes = Object.fromEntries(report.tensors.map(({ name, shape }) => [name, shape]));
    assert.deepEqual(shapes, expected.shapes);
    assert.ok(report.tensors.every(({ dtype }) => dtype === "f32"));
    for (const key of ["hidden_size", "vocab_size", "head_dim", "rope_theta", "torch_dtype"]) {
      assert.equal(report.config?.[key], config[key], key);
    }
  });
}

Deno.test("inspect names formats, and gives Meta's config under Hugging Face's names", async () => {
  const report = await inspect(golden("llama_gqa/meta"));
  assert.equal(report.format, "meta");
  assert.equal(report.config?.num_key_value_heads, 2);
  assert.equal(report.tensors[0]?.name, "tok_embeddings.weight");
});

const STORIES = join(MODELS, "stories260K");
testWith([STORIES], "inspect reads the real model in its three formats", async () => {
  const files = [
    STORIES,
    join(STORIES, "stories260K.bin"),
    join(STORIES, "stories260K-mixed.gguf"),
  ];
  const reports = await Promise.all(files.map((file) => inspect(file)));
  assert.deepEqual(reports.map(({ format }) => format), ["hf", "llama2c", "gguf"]);
  for (const report of reports) assert.equal(report.parameters, 260_032);
  const types = new Set(reports[2]!.tensors.map(({ dtype }) => dtype));
  assert.deepEqual(types, new Set(["f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]));
  assert.equal(Object.hasOwn(reports[2]!.config!, "torch_dtype"), false);
  assert.deepEqual(reports.map(({ tokenizer }) => tokenizer), [
    null,
    null,
    { path: files[2], kind: "sentencepiece", vocab_size: 512 },
  ]);
});

Deno.test("inspect --stats finds what is not finite, and where", async () => {
  await withFolder(async (folder) => {
    const all = tensors("huggingFace");
    const name = "model.layers.1.mlp.up_proj.weight";
    const { data, ...rest } = tensor(name, [12, 8]);
    const bytes = (data as Uint8Array).slice();
    new DataView(bytes.buffer).setFloat32(40, NaN, true);
    new DataView(bytes.buffer).setFloat32(44, -Infinity, true);
    all.set(name, { ...rest, data: bytes });
    await writeHuggingFace(folder, { tensors: all });
    const report = await inspect(folder, "--stats");
    for (const { name: other, stats } of report.tensors) {
      assert.equal(stats?.nan, other === name ? 1 : 0, other);
      assert.equal(stats?.inf, other === name ? 1 : 0, other);
      assert.ok(stats!.min! < stats!.mean! && stats!.mean! < stats!.max!);
    }
    const plain = await inspect(folder);
    assert.ok(plain.tensors.every((row) => !Object.hasOwn(row, "stats")));
  });
});

const LLAMA2 = join(FIXTURES, "tokenizer/llama2/tokenizer.model");
testWith(
  [LLAMA2],
  "inspect says which tokenizer lies beside a model, and that it does not fit",
  async () => {
    await withFolder(async (folder) => {
      await writeHuggingFace(folder);
      Deno.copyFileSync(LLAMA2, join(folder, "tokenizer.model"));
      const { tokenizer } = await inspect(folder);
      assert.deepEqual(tokenizer, { path: folder, kind: "sentencepiece", vocab_size: 32000 });
      const { stdout } = await runCli(["inspect", folder]);
      assert.match(stdout, /tokenizer +sentencepiece, 32,000 tokens \(the model has 16\), /);
      Deno.writeTextFileSync(join(folder, "tokenizer.model"), "not one");
      const broken = await runCli(["inspect", folder]);
      assert.equal(broken.code, 0);
      assert.match(broken.stdout, /tokenizer +Cannot read/);
    });
  },
);

Deno.test("inspect describes tensors that are no model", async () => {
  const report = await inspect(golden("optim/adamw_final.safetensors"));
  assert.equal(report.format, "safetensors");
  assert.equal(report.config, null);
  assert.equal(report.parameters, 133_440);
  const outputs = await inspect(golden("llama_mha/outputs.safetensors"));
  assert.equal(outputs.format, "safetensors");
});

Deno.test("inspect for people lists the tensors only when asked", async () => {
  const short = await runCli(["inspect", golden("palm")]);
  assert.equal(short.code, 0);
  assert.match(short.stdout, /palm: Hugging Face model, PaLM\n/);
  assert.match(short.stdout, /parameters +130,240 \(130 K: embedding 16\.4 K, also the head/);
  assert.match(short.stdout, /hidden_size +64\n/);
  assert.doesNotMatch(short.stdout, /q_proj/);
  const long = await runCli(["inspect", golden("palm"), "--tensors"]);
  assert.match(
    long.stdout,
    /model\.layers\.1\.self_attn\.q_proj\.weight +f32 +\[48, 64\] +12\.3 kB/,
  );
});

Deno.test("inspect of nothing, and of a broken model, is one line and a hint", async () => {
  const nothing = await runCli(["inspect", golden("nothing")]);
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /^llamero: Cannot open ".*nothing": no such file or folder\n$/);
  const folder = await runCli(["inspect", golden("llama31")]);
  assert.equal(folder.code, 1);
  assert.match(folder.stderr, /config\.json and no weights.*\nhint: /);
  const missing = await runCli(["inspect"]);
  assert.equal(missing.code, 2);
});

Deno.test("inspect of another architecture ends with the code of a wrong config", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder, { config: { model_type: "mamba" } });
    const { code, stderr } = await runCli(["inspect", folder, "--json"]);
    assert.equal(code, 2);
    assert.match(stderr, /the architecture is "mamba".*\nhint: supported are "llama"/);
  });
});
