import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../formats/folder.ts";
import { runCli } from "../cli/run_cli.ts";
import { LLAMA3_PATTERN } from "../../lib/tokenizer/llama3.ts";
import { runPython, testWithPython } from "./python.ts";

const SOME = [
  "the cat sat on the mat, and 1234 dogs sat on the log",
  "a quick brown fox jumped over seven lazy sleeping hounds",
  "naïve café 日本語の文章 Привет мир  two  spaces",
  "",
].join("\n").repeat(4);

const TEXTS = [
  "the cat sat",
  "  two  spaces and a tail ",
  "",
  "Hello, 99 naïve 日本語 🦙\n\ttabs\r\n",
  "jumped over<s>the</s> lazy <0x41>",
];

interface Trained extends Disposable {
  readonly path: string;
  readonly encoded: readonly (readonly number[])[];
}

/** Trains by the command line; gives the folder and the ids of the texts. */
async function trained(args: readonly string[], special = "text"): Promise<Trained> {
  const folder = temporaryFolder();
  const path = join(folder.path, "tokenizer");
  const made = await runCli(["tokenize", "train", "-", "--out", path, ...args], { stdin: SOME });
  assert.equal(made.code, 0, made.stderr);
  const encode = ["tokenize", "encode", "--tokenizer", path, "--jsonl", "--special", special];
  const stdin = TEXTS.map((text) => JSON.stringify(text)).join("\n");
  const { stdout } = await runCli(encode, { stdin });
  const encoded = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).ids);
  return { path, encoded, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

/** Options of SentencePiece trainings. */
const PIECES: Readonly<Record<string, readonly string[]>> = {
  llama: ["--vocab-size", "360"],
  palm: ["--vocab-size", "360", "--defaults", "palm"],
  sentencepiece: ["--vocab-size", "120", "--defaults", "sentencepiece"],
};

for (const [name, args] of Object.entries(PIECES)) {
  testWithPython(
    "sentencepiece",
    `sentencepiece encodes as we do what was trained: ${name}`,
    async () => {
      using tokenizer = await trained(args);
      const program = `
import json, sys, sentencepiece
path, texts = json.load(sys.stdin)
s = sentencepiece.SentencePieceProcessor(model_file=path)
print(json.dumps([[s.encode(t) for t in texts], s.vocab_size(), [s.decode(s.encode(t)) for t in texts]]))`;
      const input = [join(tokenizer.path, "tokenizer.model"), TEXTS];
      const [ids, size, decoded] = runPython(program, input) as [number[][], number, string[]];
      assert.deepEqual(ids, tokenizer.encoded);
      assert.equal(size, Number(args[1]));
      if (name === "palm") assert.deepEqual(decoded, TEXTS);
    },
  );
}

for (const name of ["llama", "palm", "bytes"]) {
  testWithPython(
    "tokenizers",
    `Hugging Face's tokenizers encode as we do what was trained: ${name}`,
    async () => {
      const args = PIECES[name] ?? ["--vocab-size", "330", "--kind", "bytes"];
      using tokenizer = await trained(args, "parse");
      const program = `
import json, sys, tokenizers
path, texts = json.load(sys.stdin)
t = tokenizers.Tokenizer.from_file(path)
ids = [t.encode(x, add_special_tokens=False).ids for x in texts]
print(json.dumps([ids, [t.decode(i, skip_special_tokens=False) for i in ids]]))`;
      const input = [join(tokenizer.path, "tokenizer.json"), TEXTS];
      const [ids, decoded] = runPython(program, input) as [number[][], string[]];
      const json = ["tokenize", "encode", "--tokenizer", join(tokenizer.path, "tokenizer.json")];
      const stdin = TEXTS.map((text) => JSON.stringify(text)).join("\n");
      const ours = await runCli([...json, "--jsonl", "--special", "parse"], { stdin });
      assert.deepEqual(ids, ours.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).ids));
      // Llama's names of special tokens are cut out, after which SentencePiece knows no prefix.
      assert.deepEqual(ids.slice(0, 4), tokenizer.encoded.slice(0, 4));
      if (name !== "llama") assert.deepEqual(decoded, TEXTS);
    },
  );
}

testWithPython("sentencepiece", "sentencepiece normalizes by own rules as we do", async () => {
  using folder = temporaryFolder();
  const rules = join(folder.path, "rules.tsv");
  // The longest rule is taken; a rule without a second column deletes.
  const lines = [
    "DF\t73 73\t# sharp s",
    "61 62\t58",
    "61 62 63\t59 20",
    "AD",
    "1F999\t6C",
    "20AC\t65",
  ];
  writeFileSync(rules, lines.join("\n"));
  using tokenizer = await trained([...PIECES.sentencepiece!, "--normalization-rule-tsv", rules]);
  const texts = [
    "straße",
    "ab abc abd a",
    "co\u00adop",
    "🦙€",
    "ab\0abc",
    "\0",
    "aba",
    "日本",
    "ABC",
  ];
  const program = `
import json, sys, sentencepiece
path, texts = json.load(sys.stdin)
s = sentencepiece.SentencePieceProcessor(model_file=path)
print(json.dumps([s.encode(t) for t in texts]))`;
  const path = join(tokenizer.path, "tokenizer.model");
  const stdin = texts.map((text) => JSON.stringify(text)).join("\n");
  const ours = await runCli(["tokenize", "encode", "--tokenizer", path, "--jsonl"], { stdin });
  assert.deepEqual(
    ours.stdout.trimEnd().split("\n").map((line) => JSON.parse(line).ids),
    runPython(program, [path, texts]),
  );
});

testWithPython("tiktoken", "tiktoken encodes as we do what was trained on bytes", async () => {
  using tokenizer = await trained(["--vocab-size", "330", "--kind", "bytes"]);
  const program = `
import json, sys, tiktoken
from tiktoken.load import load_tiktoken_bpe
path, pattern, texts = json.load(sys.stdin)
ranks = load_tiktoken_bpe(path)
e = tiktoken.Encoding("trained", pat_str=pattern, mergeable_ranks=ranks,
                      special_tokens={"<|begin_of_text|>": 330, "<|end_of_text|>": 331})
print(json.dumps([[e.encode_ordinary(t) for t in texts], len(ranks)]))`;
  const input = [join(tokenizer.path, "tokenizer.model"), LLAMA3_PATTERN, TEXTS];
  const [ids, size] = runPython(program, input) as [number[][], number];
  assert.deepEqual(ids, tokenizer.encoded);
  assert.equal(size, 330);
});

testWithPython("tokenizers", "user-defined symbols stay in what Hugging Face decodes", async () => {
  using tokenizer = await trained(["--vocab-size", "360", "--user-defined-symbols", "<sep>"]);
  const program = `
import json, sys, tokenizers
t = tokenizers.Tokenizer.from_file(json.load(sys.stdin))
i = t.encode("the<sep>cat").ids
print(json.dumps([t.token_to_id("<sep>") in i, t.decode(i)]))`;
  const path = join(tokenizer.path, "tokenizer.json");
  assert.deepEqual(runPython(program, path), [true, "the<sep> cat"]);
});
