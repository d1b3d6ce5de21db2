import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { splitList } from "../../cli/training_values.ts";
import { pieceCount, type PieceList, pieceText } from "../../lib/formats/piece_list.ts";
import { parseSentencePieceModel } from "../../lib/formats/sentencepiece_model.ts";
import { testWith } from "../fixtures.ts";
import { temporaryFolder } from "../formats/folder.ts";
import { SPM_TRAINED, TEXTS } from "../tokenizer/train/spm_command.ts";
import { type Outcome, runCli, type Surroundings } from "./run_cli.ts";

const SOME = [
  "the cat sat on the mat",
  "the dog sat on the log",
  "a quick brown fox jumped over seven lazy sleeping hounds",
  "",
].join("\n").repeat(3);

function train(args: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> {
  return runCli(["tokenize", "train", ...args], surroundings);
}

/** A file's pieces, types and the bits of their scores. */
function rows(path: string): string[] {
  const { pieces } = parseSentencePieceModel(new Uint8Array(readFileSync(path)), path);
  const bits = new Uint32Array(pieces.scores.buffer, pieces.scores.byteOffset);
  const row = (id: number, list: PieceList): string =>
    `${id} ${pieceText(list, id)} ${list.types[id]} ${bits[id]!.toString(16)}`;
  return Array.from({ length: pieceCount(pieces) }, (_, id) => row(id, pieces));
}

/** The command line of a reference run as ours: `--split_digits=true` is `--split-digits`. */
function ourArguments(name: string): string[] {
  const command = readFileSync(join(SPM_TRAINED, `${name}.cmd`), "utf8").trim();
  const words = command.match(/(?:\\.|[^ \\])+/gu)!.slice(1)
    .map((word) => word.replace(/\\(.)/gu, "$1"));
  const args = ["--defaults", "sentencepiece"];
  const skipped = ["model_prefix", "model_type", "num_threads", "self_test_sample_size"];
  for (const word of words) {
    const [, key, value] = /^--(\w+)=(.*)$/s.exec(word)!;
    const flag = key!.replaceAll("_", "-");
    if (skipped.includes(key!)) continue;
    if (key === "input") args.push(...value!.split(",").map((file) => join(TEXTS, file)));
    else if (value === "true") args.push(`--${flag}`);
    else if (value === "false") args.push(`--no-${flag}`);
    else args.push(`--${flag}`, value!);
  }
  return args;
}

for (const name of ["mix-opts-uds-2000", "mix-opts-nmtcf-2000", "shk-opts-suffix-1000"]) {
  for (const backend of ["wasm", "auto"]) {
    testWith(
      [SPM_TRAINED, TEXTS],
      `tokenize train gives spm_train's pieces, types and scores: ${name} (${backend})`,
      async () => {
        using folder = temporaryFolder();
        const out = join(folder.path, "out");
        const { code, stderr } = await train([
          ...ourArguments(name),
          "--out",
          out,
          "--backend",
          backend,
        ]);
        assert.equal(code, 0, stderr);
        const reference = join(SPM_TRAINED, `${name}.model`);
        assert.deepEqual(rows(join(out, "tokenizer.model")), rows(reference));
      },
    );
  }
}

Deno.test("tokenize train writes a folder that the other commands open", async () => {
  using folder = temporaryFolder();
  const text = join(folder.path, "text.txt");
  writeFileSync(text, SOME);
  for (const kind of ["spm", "bytes"]) {
    const out = join(folder.path, kind);
    const args = [text, "--out", out, "--kind", kind, "--vocab-size", "288", "--json"];
    const { code, stdout, stderr } = await train(args);
    assert.equal(code, 0, stderr);
    const names = ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"];
    assert.deepEqual(readdirSync(out).sort(), names);
    const summary = JSON.parse(stdout);
    assert.equal(stdout.trimEnd().split("\n").length, 1);
    assert.equal(summary.vocab_size, kind === "spm" ? 288 : 290);
    for (const name of ["", "tokenizer.model", "tokenizer.json"]) {
      const open = ["--tokenizer", join(out, name)];
      const input = "the cat, the dog é\n";
      const encoded = await runCli(["tokenize", "encode", ...open], { stdin: input });
      assert.equal(encoded.code, 0, encoded.stderr);
      const ids = encoded.stdout.trim().split(" ").map(Number);
      assert.ok(ids.length < input.length && ids.every((id) => id < summary.vocab_size));
      const decoded = await runCli(["tokenize", "decode", ...open], { stdin: encoded.stdout });
      assert.equal(decoded.stdout, input);
    }
  }
});

Deno.test("the lossless defaults bring every text back, U+2581 too", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "out");
  const args = ["-", "--out", out, "--defaults", "palm", "--vocab-size", "300"];
  const { code, stderr } = await train(args, { stdin: SOME });
  assert.equal(code, 0, stderr);
  const texts = ["▁", "a▁ ▁▁  b", " x ", "", "\0", "▅▁", "<s>\u00a0<0x41>", "\ufeff ", "é\r\t\n"];
  const stdin = texts.map((text) => JSON.stringify(text)).join("\n");
  const open = ["--tokenizer", out, "--jsonl"];
  const encoded = await runCli(["tokenize", "encode", ...open], { stdin });
  const decoded = await runCli(["tokenize", "decode", ...open], { stdin: encoded.stdout });
  const back = decoded.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(back, texts);
});

Deno.test("text, lines of JSON, gzip, Zstandard and stdin train the same", async () => {
  using folder = temporaryFolder();
  const lines = SOME.trimEnd().split("\n");
  const json = lines.map((content) => JSON.stringify({ content })).join("\n");
  const bytes = new TextEncoder().encode(SOME);
  const files: Record<string, string | Uint8Array> = {
    "a.txt": SOME,
    "a.gz": gzipSync(bytes),
    "a.zst": zstdCompressSync(bytes),
    "a.jsonl.zst": zstdCompressSync(new TextEncoder().encode(json)),
  };
  const models: string[][] = [];
  for (const [name, content] of [...Object.entries(files), ["-", ""] as const]) {
    const path = name === "-" ? name : join(folder.path, name);
    if (name !== "-") writeFileSync(path, content);
    const out = join(folder.path, `${name}-out`);
    const format = name.includes("jsonl") ? ["--input-format", "jsonl", "--field", "content"] : [];
    const args = [path, "--out", out, "--vocab-size", "290", ...format];
    const { code, stderr } = await train(args, { stdin: SOME });
    assert.equal(code, 0, stderr);
    models.push(rows(join(out, "tokenizer.model")));
  }
  for (const model of models) assert.deepEqual(model, models[0]);
});

Deno.test("what cannot be trained is refused in one line, and nothing is written", async () => {
  using folder = temporaryFolder();
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(folder.path, name);
    writeFileSync(path, content);
    return path;
  };
  const text = file("text.txt", SOME);
  const gz = gzipSync(new TextEncoder().encode(SOME));
  const zst = zstdCompressSync(new TextEncoder().encode(SOME));
  const out = join(folder.path, "out");
  const cases: [string[], number, RegExp][] = [
    [
      [text],
      1,
      /vocabulary size is 32,000, and the text allows 3\d\d at most\nhint: .*--vocab-size/,
    ],
    [[file("empty.txt", "")], 1, /the text is empty/],
    [[file("bad.txt", Uint8Array.of(97, 10, 255))], 1, /bad.txt": byte 2 is not UTF-8\nhint: /],
    [[file("cut.gz", gz.subarray(0, -9))], 1, /Cannot decompress ".*cut.gz": unexpected end/],
    [[file("cut.zst", zst.subarray(0, -3))], 1, /Cannot decompress ".*cut.zst": unexpected end/],
    [[join(folder.path, "none.txt")], 1, /Cannot read ".*none.txt": no such file/],
    [[folder.path], 1, /Cannot read ".*": it is a folder/],
    [
      [file("a.jsonl", '{"text":"a"}\n{"txt":1}'), "--input-format", "jsonl"],
      1,
      /line 2 has no text/,
    ],
    [["-", "-"], 2, /stdin is named twice/],
    [[], 2, /FILE.* is missing/],
    [[text, "--kind", "bytes", "--split-digits"], 2, /--split-digits shapes --kind spm/],
    [[text, "--kind", "bytes", "--defaults", "palm"], 2, /--defaults palm/],
    [[text, "--kind", "bytes", "--vocab-size", "200"], 2, /at least the 256 bytes/],
    [[text, "--bos-id", "0"], 2, /"<unk>" and "<s>" both have the id 0/],
    [[text, "--character-coverage", "2"], 2, /Cannot set --character-coverage to "2"/],
    [[text, "--vocab-sise", "20"], 2, /no option "--vocab-sise"\nhint: .*--vocab-size/],
    [[text, "--vocab-size", "100"], 1, /the vocabulary size is 100, and the 2\d characters/],
    [[text, "--required-chars", "ж", "--vocab-size", "290"], 1, /"ж" \(U\+0436\) does not occur/],
  ];
  for (const [args, wanted, message] of cases) {
    const { code, stdout, stderr } = await train([...args, "--out", out]);
    assert.match(stderr, message);
    assert.match(stderr, /^llamero: Cannot .+\n(hint: .+\n)?$/);
    assert.equal(code, wanted, stderr);
    assert.equal(stdout, "");
    assert.ok(!existsSync(out), args.join(" "));
  }
  assert.deepEqual(readdirSync(folder.path).filter((name) => name.startsWith(".")), []);
});

Deno.test("an output that exists is kept without --force, and with it if it holds more", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "out");
  const args = ["-", "--out", out, "--vocab-size", "290"];
  assert.equal((await train(args, { stdin: SOME })).code, 0);
  const refused = await train(args, { stdin: SOME });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /exists already\nhint: .*--force/);
  const smaller = await train([...args, "--vocab-size", "287", "--force"], { stdin: SOME });
  assert.equal(smaller.code, 0, smaller.stderr);
  assert.equal(rows(join(out, "tokenizer.model")).length, 287);
  mkdirSync(join(out, "more"));
  const kept = await train([...args, "--force"], { stdin: SOME });
  assert.match(kept.stderr, /the folder "more", which would be lost/);
});

Deno.test("an interrupt ends training with 130 and leaves nothing", async () => {
  using folder = temporaryFolder();
  const { Interrupted } = await import("../../lib/base/errors.ts");
  const signal = AbortSignal.abort(new Interrupted("Interrupted"));
  const args = ["-", "--out", join(folder.path, "out"), "--vocab-size", "290"];
  const { code, stderr } = await train(args, { stdin: SOME, signal });
  assert.equal(code, 130);
  assert.equal(stderr, "llamero: Interrupted\n");
  assert.deepEqual(readdirSync(folder.path), []);
});

Deno.test("symbols come from lists and files", async () => {
  using folder = temporaryFolder();
  const symbols = join(folder.path, "symbols");
  writeFileSync(symbols, "<c>\n<d e>\n");
  const out = join(folder.path, "out");
  const { code, stderr } = await train([
    ...["-", "--out", out, "--vocab-size", "300", "--control-symbols-file", symbols],
    ...["--user-defined-symbols", '<a>,"x,""y"""', "--user-defined-symbols", "<b>"],
  ], { stdin: SOME });
  assert.equal(code, 0, stderr);
  const wanted = ["<c>", "<d e>", "<a>", 'x,"y"', "<b>"];
  assert.deepEqual(
    rows(join(out, "tokenizer.model")).slice(3, 8).map((row) => row.replace(/ 0$/, "")),
    wanted.map((symbol, i) => `${i + 3} ${symbol} ${i < 2 ? 3 : 4}`),
  );
});

Deno.test("lists are cut as sentencepiece cuts them", () => {
  assert.deepEqual(splitList(""), []);
  assert.deepEqual(splitList("a,b c,d"), ["a", "b c", "d"]);
  assert.deepEqual(splitList('"a,b","c""d",e'), ["a,b", 'c"d', "e"]);
  assert.deepEqual(splitList("a,,b"), ["a", "", "b"]);
});

Deno.test("what spm_train does not determine is a warning", async () => {
  const words = Array.from(
    { length: 2000 },
    (_, i) => String.fromCodePoint(0x4e00 + i, 0x5e00 + i),
  );
  using folder = temporaryFolder();
  const options = [
    "--vocab-size",
    "4500",
    "--defaults",
    "sentencepiece",
    "--character-coverage",
    "1",
  ];
  const args = ["-", "--out", join(folder.path, "out"), "--no-hard-vocab-limit", ...options];
  const { code, stderr } = await train(args, { stdin: `${words.join("\n")}\n${"x".repeat(5000)}` });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /warning: spm_train itself does not determine the pieces from id 3 /);
  assert.match(stderr, /warning: 1 of 2,001 lines are longer than 4,192 bytes/);
});
