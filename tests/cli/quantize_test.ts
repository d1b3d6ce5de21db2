import assert from "node:assert/strict";
import { join } from "node:path";
import { spec } from "../../cli/commands/quantize.spec.ts";
import { MIXTURE_ALIASES, MIXTURES } from "../../lib/quant/mixture.ts";
import { tensors, writeGgufModel, writeHuggingFace } from "../checkpoint/small_model.ts";
import { withFolder } from "../formats/folder.ts";
import { runCli } from "./run_cli.ts";

Deno.test("quantize offers every mixture and every short name", () => {
  const names = [...Object.keys(MIXTURES), ...Object.keys(MIXTURE_ALIASES)];
  assert.deepEqual([...spec.options.type.choices].sort(), names.sort());
});

Deno.test("quantize writes a GGUF file and says what it takes", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const path = join(folder, "small.gguf");
    const args = ["quantize", folder, path, "--type", "q4_k", "--backend", "wasm"];
    const { code, stdout, stderr } = await runCli(args);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /small\.gguf: q4_k_m, .* bits per weight\n$/);
    const again = await runCli(args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /exists/);
    assert.equal((await runCli([...args, "--force", "--quiet"])).stderr, "");
    const inspected = await runCli(["inspect", path, "--json"]);
    assert.equal(JSON.parse(inspected.stdout).format, "gguf");
  });
});

Deno.test("quantize --report says the error and the sizes of every tensor", async () => {
  await withFolder(async (folder) => {
    await writeHuggingFace(folder);
    const args = ["quantize", folder, join(folder, "a.gguf"), "--type", "q8_0", "--report"];
    const text = await runCli([...args, "--backend", "wasm"]);
    assert.match(text.stdout, /^tensor +shape +was +is +before +after +rms error +relative\n/);
    const { code, stdout } = await runCli([...args, "--backend", "wasm", "--force", "--json"]);
    assert.equal(code, 0);
    const json = JSON.parse(stdout);
    assert.equal(json.type, "q8_0");
    assert.equal(json.tensors.length, tensors("huggingFace").size);
    const [embedding] = json.tensors;
    assert.equal(embedding.name, "token_embd.weight");
    assert.deepEqual([embedding.from, embedding.to], ["f32", "f16"]);
    assert.deepEqual([embedding.bytes_before, embedding.bytes], [512, 256]);
    assert.ok(embedding.relative_error > 0 && embedding.relative_error < 0.0005);
    const norm = json.tensors.find((one: { name: string }) => one.name === "output_norm.weight");
    assert.equal(norm.rms_error, 0);
    const sum = (key: string) =>
      json.tensors.reduce((total: number, one: Record<string, number>) => total + one[key]!, 0);
    assert.equal(json.bytes, sum("bytes"));
    assert.equal(json.bytes_before, sum("bytes_before"));
  });
});

Deno.test("quantize refuses names, places and files that are wrong", async () => {
  await withFolder(async (folder) => {
    const path = await writeGgufModel(folder);
    const out = join(folder, "out.gguf");
    const refuse = async (code: number, message: RegExp, ...args: string[]) => {
      const outcome = await runCli(["quantize", ...args, "--backend", "wasm"]);
      assert.equal(outcome.code, code, outcome.stderr);
      assert.equal(outcome.stdout, "");
      assert.match(outcome.stderr, message);
    };
    await refuse(2, /did you mean q4_k_m\?/, path, out, "--type", "Q4_K_M");
    await refuse(2, /--type/, path, out);
    await refuse(2, /ends in \.gguf/, path, join(folder, "out.bin"), "--type", "q8_0");
    await refuse(2, /the output is the input/, path, path, "--type", "q8_0", "--force");
    await refuse(
      1,
      /no such file|does not exist|not found/i,
      join(folder, "x"),
      out,
      "--type",
      "q8_0",
    );
    await refuse(1, /"general.type"/, path, out, "--type", "q8_0", "--importance", path);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["model.gguf"]);
  });
});
