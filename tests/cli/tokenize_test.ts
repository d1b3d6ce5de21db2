import assert from "node:assert/strict";
import { join } from "node:path";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { FIXTURES, testWith } from "../fixtures.ts";
import { runCli } from "./run_cli.ts";

const TOKENIZERS = join(FIXTURES, "tokenizer");
const LLAMA2 = join(TOKENIZERS, "llama2/tokenizer.model");
const LLAMA3 = join(TOKENIZERS, "llama3/tokenizer.model");
const LEGACY = join(TOKENIZERS, "hf/llama2.legacy.tokenizer.json.gz");

async function tokenize(args: string[], stdin: string | Uint8Array): Promise<string> {
  const { code, stdout, stderr } = await runCli(["tokenize", ...args], { stdin });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  return stdout;
}

testWith([TOKENIZERS], "tokenize encode writes a line of ids for each line", async () => {
  const encode = ["encode", "--tokenizer", LLAMA2];
  assert.equal(await tokenize(encode, "Hello world\n\nHello\n"), "15043 3186\n\n15043\n");
  assert.equal(await tokenize(encode, "Hello"), "15043\n");
  assert.equal(await tokenize(encode, ""), "");
  const both = await tokenize([...encode, "--bos", "--eos"], "Hello\n\n");
  assert.equal(both, "1 15043 2\n1 2\n");
});

testWith([TOKENIZERS], "tokenize encode --json takes all of the input as one text", async () => {
  const stdout = await tokenize(["encode", "--tokenizer", LLAMA2, "--json", "-"], "Hello\n\nworld");
  const wanted = {
    ids: [15043, 13, 13, 11526],
    pieces: ["▁Hello", "<0x0A>", "<0x0A>", "world"],
    count: 4,
  };
  assert.deepEqual(JSON.parse(stdout), wanted);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
});

testWith([TOKENIZERS], "tokenize encode --jsonl takes strings and objects", async () => {
  const lines = ['"Hello world"', '{"text":"Hello\\n","id":3}', '"\\ud800"'].join("\n");
  const stdout = await tokenize(["encode", "--tokenizer", LLAMA2, "--jsonl"], lines);
  assert.deepEqual(stdout.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { ids: [15043, 3186] },
    { ids: [15043, 13] },
    // U+FFFD, which a lone surrogate becomes, is a piece.
    { ids: [29871, 30140] },
  ]);
  const args = ["encode", "--tokenizer", LLAMA2, "--jsonl", "--pieces"];
  const pieces = await tokenize(args, '"Hello"');
  assert.deepEqual(JSON.parse(pieces), { ids: [15043], pieces: ["▁Hello"] });
});

testWith([TOKENIZERS], "names of special tokens are text, tokens, or refused", async () => {
  const args = ["encode", "--tokenizer", LLAMA3, "--special"];
  const input = "<|eot_id|>";
  assert.equal(await tokenize([...args, "parse"], input), "128009\n");
  const text = await tokenize([...args, "text"], input);
  assert.notEqual(text, "128009\n");
  assert.equal(await tokenize(["encode", "--tokenizer", LLAMA3], input), text);
  const refused = await runCli(["tokenize", ...args, "refuse"], { stdin: input });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /"<\|eot_id\|>" at byte 0/);
  assert.equal(
    await tokenize(["encode", "--tokenizer", LEGACY, "--special", "parse"], "<s>"),
    "1\n",
  );
});

testWith(
  [TOKENIZERS],
  "input that is not UTF-8 is refused with its place, or replaced",
  async () => {
    const stdin = Uint8Array.of(0x61, 0x0a, 0x62, 0xff, 0x0a);
    for (const tokenizer of [LLAMA2, LLAMA3, LEGACY]) {
      const args = ["tokenize", "encode", "--tokenizer", tokenizer];
      const { code, stdout, stderr } = await runCli(args, { stdin });
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, /byte 3, in line 2, is not UTF-8\nhint: .*--invalid replace/);
      const replaced = await runCli([...args, "--invalid", "replace"], { stdin });
      const wanted = await runCli(args, { stdin: "a\nb\ufffd\n" });
      assert.deepEqual(replaced, wanted);
    }
  },
);

testWith([TOKENIZERS], "tokenize decode turns lines of ids into lines of text", async () => {
  const args = ["decode", "--tokenizer", LLAMA2];
  assert.equal(await tokenize(args, "15043 3186\n\n1 15043\n"), "Hello world\n\nHello\n");
  const jsonl = await tokenize([...args, "--jsonl"], '[15043,13]\n{"ids":[15043]}\n');
  assert.equal(jsonl, '"Hello\\n"\n"Hello"\n');
  assert.deepEqual(JSON.parse(await tokenize([...args, "--json"], "15043\n3186\n")), {
    text: "Hello world",
  });
  const special = await tokenize(
    ["decode", "--tokenizer", LLAMA3, "--skip-special"],
    "128000 9906",
  );
  assert.equal(special, "Hello\n");
});

testWith([TOKENIZERS], "tokenize decode refuses what is no id of the vocabulary", async () => {
  const cases: [string, RegExp][] = [["32000", /line 1 .*id 32000/], ["1\n2 x", /line 2 .*"x"/]];
  for (const [stdin, wanted] of cases) {
    const result = await runCli(["tokenize", "decode", "--tokenizer", LLAMA2], { stdin });
    assert.equal(result.code, 1);
    assert.match(result.stderr, wanted);
  }
});

testWith([TOKENIZERS], "encoding and decoding a file gives the file", async () => {
  const path = join(FIXTURES, "text/udhr-multilingual.txt");
  const text = await Deno.readTextFile(path);
  const ids = await tokenize(["encode", "--tokenizer", LLAMA3, path], "");
  assert.equal(await tokenize(["decode", "--tokenizer", LLAMA3], ids), text);
});

testWith(
  [TOKENIZERS],
  "lines of a large file, a very long one too, are encoded whole",
  async () => {
    const tokenizer = await openTokenizer(LLAMA2);
    const long = "sharing ".repeat(800_000);
    const lines = ["Hello world\n".repeat(450_000), `${long}\n`, "Hello"].join("");
    const ids = tokenizer.encode(long).join(" ");
    tokenizer.close();
    const wanted = `${"15043 3186\n".repeat(450_000)}${ids}\n15043\n`;
    const path = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(path, lines);
      for (const [file, stdin] of [[path, ""], ["-", lines]] as const) {
        const written = await tokenize(["encode", "--tokenizer", LLAMA2, file], stdin);
        assert.ok(written === wanted, `${file} gives other ids`);
      }
      await Deno.writeTextFile(path, "");
      assert.equal(await tokenize(["encode", "--tokenizer", LLAMA2, path], ""), "");
    } finally {
      await Deno.remove(path);
    }
  },
);

testWith([TOKENIZERS], "tokenize info describes a tokenizer", async () => {
  const info = JSON.parse(
    await tokenize(["info", "--tokenizer", LLAMA2, "--json", "--pieces"], ""),
  );
  assert.equal(info.kind, "sentencepiece");
  assert.equal(info.vocab_size, 32000);
  assert.deepEqual([info.unk_id, info.bos_id, info.eos_id], [0, 1, 2]);
  assert.deepEqual(info.special_tokens, [{ id: 1, name: "<s>" }, { id: 2, name: "</s>" }]);
  assert.equal(info.pieces.length, 32000);
  assert.deepEqual(info.pieces.slice(0, 4), ["<unk>", "<s>", "</s>", "<0x00>"]);
  const text = await tokenize(["info", "--tokenizer", LLAMA3], "");
  assert.match(text, /vocabulary\s+128,256/);
  assert.match(text, /<\|begin_of_text\|>/);
});

Deno.test("a tokenizer that is not there is an error of one line", async () => {
  const { code, stderr } = await runCli(["tokenize", "info", "--tokenizer", "no/such/file"]);
  assert.equal(code, 1);
  assert.match(stderr, /^llamero: Cannot read "no\/such\/file": no such file/);
});
