import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { IndexedDataset } from "../../lib/formats/indexed_dataset.ts";
import { temporaryFolder } from "../formats/folder.ts";
import { type Outcome, runCli, type Surroundings } from "./run_cli.ts";

const SOME = "the cat sat on the mat, the dog sat on the log\n".repeat(30);

/** A folder with a tokenizer and files of these contents. */
async function room(
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<Disposable & { readonly path: string }> {
  const folder = temporaryFolder();
  const args = ["-", "--out", join(folder.path, "tokenizer"), "--vocab-size", "290"];
  const { code, stderr } = await runCli(["tokenize", "train", ...args], { stdin: SOME });
  assert.equal(code, 0, stderr);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder.path, name), content);
  }
  return folder;
}

function pack(
  folder: string,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Outcome> {
  const paths = args.map((arg) => existsSync(join(folder, arg)) ? join(folder, arg) : arg);
  const fixed = ["--tokenizer", join(folder, "tokenizer"), "--out", join(folder, "out")];
  return runCli(["tokenize", "pack", ...paths, ...fixed], surroundings);
}

Deno.test("tokenize pack writes what tokenize encode gives, in Megatron's layout", async () => {
  using folder = await room({ "a.txt": "the cat\nsat", "b.txt.zst": zstdCompressSync("the dog") });
  const { code, stdout, stderr } = await pack(folder.path, [
    "a.txt",
    "b.txt.zst",
    "--eos",
    "--json",
  ]);
  assert.equal(code, 0, stderr);
  const ids: number[][] = [];
  for (const text of ["the cat\nsat", "the dog"]) {
    const open = ["--tokenizer", join(folder.path, "tokenizer"), "--eos", "--json"];
    const encoded = await runCli(["tokenize", "encode", ...open], { stdin: text });
    ids.push(JSON.parse(encoded.stdout).ids);
  }
  const all = Uint16Array.from(ids.flat());
  const prefix = join(folder.path, "out");
  assert.deepEqual(new Uint8Array(readFileSync(`${prefix}.bin`)), new Uint8Array(all.buffer));
  const [a, b] = ids.map(({ length }) => length) as [number, number];
  const wanted = new Uint8Array([
    ...new TextEncoder().encode("MMIDIDX\0\0"),
    ...[1, 0, 0, 0, 0, 0, 0, 0],
    8,
    ...[2, 0, 0, 0, 0, 0, 0, 0],
    ...[3, 0, 0, 0, 0, 0, 0, 0],
    ...new Uint8Array(Int32Array.of(a, b).buffer),
    ...new Uint8Array(BigInt64Array.of(0n, BigInt(2 * a)).buffer),
    ...new Uint8Array(BigInt64Array.of(0n, 1n, 2n).buffer),
  ]);
  assert.deepEqual(new Uint8Array(readFileSync(`${prefix}.idx`)), wanted);
  const manifest = JSON.parse(readFileSync(`${prefix}.json`, "utf8"));
  assert.deepEqual(JSON.parse(stdout), { path: prefix, resumed: false, ...manifest });
  assert.equal(manifest.tokens, a + b);
  assert.equal(manifest.text_bytes, "the cat\nsatthe dog".length);
  assert.match(manifest.tokenizer.sha256, /^[0-9a-f]{64}$/);
});

Deno.test("tokenize pack reads lines of JSON, paragraphs and stdin", async () => {
  const json = '{"content":"the cat"}\n{"content":"the dog"}\n\n{"content":"sat"}';
  using folder = await room({ "a.gz": gzipSync(json), "p.txt": "the cat\n\nthe dog\n \n\nsat\n" });
  const counts = (): number[] => {
    using dataset = IndexedDataset.open(join(folder.path, "out"));
    return [...dataset.lengths];
  };
  const jsonl = ["a.gz", "--input-format", "jsonl", "--field", "content"];
  assert.equal((await pack(folder.path, jsonl)).code, 0);
  const wanted = counts();
  assert.equal(wanted.length, 3);
  const paragraphs = ["--document", "paragraph", "--force"];
  assert.equal((await pack(folder.path, ["p.txt", ...paragraphs])).code, 0);
  assert.deepEqual(counts(), wanted);
  const stdin = readFileSync(join(folder.path, "p.txt"));
  assert.equal((await pack(folder.path, ["-", ...paragraphs], { stdin })).code, 0);
  assert.deepEqual(counts(), wanted);
});

Deno.test("what cannot be packed is refused in one line, and nothing is written", async () => {
  using folder = await room({
    "bad.txt": Uint8Array.of(97, 255),
    "cut.zst": zstdCompressSync(SOME).subarray(0, -3),
    "a.jsonl": '{"text":"a"}\n{"txt":1}\n',
    "good.txt": SOME,
  });
  const before = readdirSync(folder.path).sort();
  const cases: [string[], number, RegExp][] = [
    [["good.txt", "bad.txt"], 1, /Cannot read ".*bad.txt": byte 1 \(0xff\) is not UTF-8/],
    [["cut.zst"], 1, /Cannot decompress ".*cut.zst"/],
    [
      ["a.jsonl", "--input-format", "jsonl"],
      1,
      /line 2 has no text: the field "text" is not there/,
    ],
    [["missing.txt"], 1, /Cannot read "missing.txt": no such file/],
    [["-", "-"], 2, /stdin is named twice/],
    [["a.jsonl", "--input-format", "jsonl", "--invalid", "replace"], 2, /must be UTF-8/],
    [["good.txt", "--document", "line"], 2, /not one of file, paragraph/],
  ];
  for (const [args, wanted, message] of cases) {
    const { code, stdout, stderr } = await pack(folder.path, args);
    assert.match(stderr, message);
    assert.match(stderr, /^llamero: Cannot .+\n(hint: .+\n)?$/);
    assert.equal(code, wanted, stderr);
    assert.equal(stdout, "");
    assert.deepEqual(readdirSync(folder.path).sort(), before);
  }
});

Deno.test("outputs that exist are kept without --force", async () => {
  using folder = await room({ "a.txt": SOME });
  assert.equal((await pack(folder.path, ["a.txt"])).code, 0);
  const again = await pack(folder.path, ["a.txt"]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /"[^"]*out\.bin": it exists already\nhint: .*--force/);
  assert.equal((await pack(folder.path, ["a.txt", "--force"])).code, 0);
});

Deno.test("an interrupted packing ends with 130, and the same command finishes it", async () => {
  using folder = await room({ "a.txt": SOME });
  const { Interrupted } = await import("../../lib/base/errors.ts");
  const signal = AbortSignal.abort(new Interrupted("Interrupted"));
  const stopped = await pack(folder.path, ["a.txt"], { signal });
  assert.equal(stopped.code, 130);
  assert.match(stopped.stderr, /Interrupted: what is packed is kept in ".*out.packing"\nhint: /);
  assert.deepEqual(readdirSync(folder.path).filter((name) => /out\./.test(name)), ["out.packing"]);
  const other = await pack(folder.path, ["a.txt", "--eos"]);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /begun there and not finished\nhint: begin again with --force/);
  const { code, stdout } = await pack(folder.path, ["a.txt", "--json"]);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).resumed, true);
  // What comes from a stream cannot be read again.
  const piped = await pack(folder.path, ["-", "--force"], { stdin: SOME, signal });
  assert.equal(piped.code, 130);
  assert.equal(piped.stderr, "llamero: Interrupted\n");
  assert.ok(!existsSync(join(folder.path, "out.packing")));
});
