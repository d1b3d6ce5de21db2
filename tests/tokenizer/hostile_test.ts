import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { LlameroError } from "../../lib/base/errors.ts";
import { PIECE_TYPE, PieceListBuilder } from "../../lib/formats/piece_list.ts";
import {
  formatSentencePieceModel,
  MODEL_TYPE,
  TRAINER_FIELD,
} from "../../lib/formats/sentencepiece_model.ts";
import { writeGguf } from "../../lib/formats/gguf_write.ts";
import { asGgufMetadata } from "../../lib/tokenizer/as_gguf.ts";
import { asTokenizerJson } from "../../lib/tokenizer/as_tokenizer_json.ts";
import type { TokenizerDefinition } from "../../lib/tokenizer/definition.ts";
import { tokenizerFiles } from "../../lib/tokenizer/files.ts";
import { openTokenizer, readDefinition } from "../../lib/tokenizer/open.ts";
import { testWith } from "../fixtures.ts";
import { HAS_VECTORS, TOKENIZERS } from "./vectors.ts";
import { randomIntegers } from "../random_integers.ts";

/** Writes bytes under a name in a folder that is gone afterwards. */
async function withFile<T>(
  name: string,
  content: string | Uint8Array,
  body: (path: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, name);
    await (typeof content === "string"
      ? Deno.writeTextFile(path, content)
      : Deno.writeFile(path, content));
    return await body(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function refuses(name: string, content: string | Uint8Array, wanted: RegExp): Promise<void> {
  await withFile(name, content, async (path) => {
    await rejects(openTokenizer(path), (error) => {
      ok(error instanceof LlameroError, String(error));
      match(error.message, wanted);
      strictEqual(error.message.includes("\n"), false);
      return true;
    });
  });
}

/** A small BPE model. */
function model(pieces: readonly [string, number, number?][], byteFallback = false): Uint8Array {
  const list = new PieceListBuilder();
  for (const [text, score, type] of pieces) {
    list.addText(text, { score, type: type ?? PIECE_TYPE.normal });
  }
  return formatSentencePieceModel({
    pieces: list.finish(),
    trainer: [
      { number: TRAINER_FIELD.modelType, wire: "varint", value: BigInt(MODEL_TYPE.bpe) },
      { number: TRAINER_FIELD.byteFallback, wire: "varint", value: byteFallback ? 1n : 0n },
    ],
    normalizer: [],
    denormalizer: [],
    rest: [],
  });
}

const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
const RANKS = BYTES.map((byte) => `${Uint8Array.of(byte).toBase64()} ${byte}\n`);

Deno.test("files that are no tokenizers are refused, naming what is wrong", async () => {
  await refuses("tokenizer.model", "", /the file is empty/);
  await refuses("tokenizer.model", "hello world, this is no tokenizer", /SentencePiece model/);
  await refuses("tokenizer.json", "{", /the JSON/);
  await refuses("tokenizer.json", '{"model":{"type":"WordPiece"}}', /"WordPiece"/);
  await refuses("tokenizer.json.gz", Uint8Array.of(0x1f, 0x8b, 1, 2, 3), /gzip/);
  await refuses("tokenizer.bin", new Uint8Array(12), /259/);
  await rejects(openTokenizer("no/such/tokenizer.model"), /no such file/);
});

Deno.test("models whose parts contradict one another are refused", async () => {
  const unk: [string, number, number] = ["<unk>", 0, PIECE_TYPE.unknown];
  await refuses("a.model", model([["a", 0], ["b", 0]]), /no unknown piece/);
  await refuses("a.model", model([unk, ["a", 0], ["a", -1]]), /ids 1 and 2 are both the piece "a"/);
  await refuses("a.model", model([unk, ["", 0]]), /piece 1 is empty/);
  await refuses("a.model", model([unk, ["a", NaN]]), /score NaN/);
  await refuses("a.model", model([unk, ["a", 0]], true), /byte piece <0x00>/);
});

Deno.test("rank files with holes, duplicates or wrong base64 are refused", async () => {
  await refuses("a.model", RANKS.join("").replace(/ 255\n/, " 256\n"), /rank 256/);
  await refuses(
    "a.model",
    RANKS.join("").replace(/ 255\n/, " 254\n"),
    /two lines have the rank 254/,
  );
  await refuses("a.model", RANKS.slice(0, 255).join(""), /no piece is the byte 0xff/);
  await refuses("a.model", `${RANKS.join("")}A=== 256\n`, /no base64|no token/);
  await refuses("a.model", `${RANKS.join("")}QQ== 256\n`, /both the piece "A"/);
  await refuses("a.model", `${RANKS.join("")}QUE=\n`, /no token and rank/);
});

/** A `tokenizer.json` around a vocabulary and merges. */
function json(vocab: Record<string, number>, merges: unknown[]): string {
  return JSON.stringify({
    added_tokens: [],
    normalizer: { type: "Replace", pattern: { String: " " }, content: "\u2581" },
    decoder: null,
    model: { type: "BPE", vocab, merges },
  });
}

Deno.test("tokenizer.json with missing, cyclic or malformed merges is refused", async () => {
  const vocab = { a: 0, b: 1, ab: 2 };
  await refuses("tokenizer.json", json(vocab, ["a c"]), /merge 0 .* the second is no piece/);
  await refuses("tokenizer.json", json(vocab, ["b a"]), /their concatenation is no piece/);
  await refuses("tokenizer.json", json(vocab, ["ab"]), /not two texts/);
  await refuses("tokenizer.json", json(vocab, ["a b c"]), /not two texts/);
  await refuses("tokenizer.json", json(vocab, [["a"]]), /','/);
  await refuses("tokenizer.json", json({ a: 0, b: 0 }, []), /both have the id 0/);
  await refuses("tokenizer.json", json({ a: 1e9 }, []), /2\^27/);
  await refuses("tokenizer.json", json({ a: 1e8 }, []), /highest id is 100000000/);
});

Deno.test("merges whose halves come later are made when their halves are", async () => {
  // "abc" ranks before its half "ab", so it follows it at once.
  const vocab = { a: 0, b: 1, c: 2, ab: 3, abc: 4, "\u2581": 5 };
  await withFile("tokenizer.json", json(vocab, ["ab c", "a b"]), async (path) => {
    const tokenizer = await openTokenizer(path);
    deepStrictEqual([...tokenizer.encode("abcab")], [4, 3]);
  });
});

testWith(HAS_VECTORS, "a tokenizer that does not fit the model is refused", async () => {
  const path = join(TOKENIZERS, "llama2/tokenizer.model");
  await rejects(openTokenizer(path, { vocabSize: 512 }), /32000 ids, and the model has 512/);
  await rejects(openTokenizer(path, { vocabSize: 128256 }), /the model has 128256/);
  strictEqual((await openTokenizer(path, { vocabSize: 32064 })).vocabSize, 32000);
});

/** Changes, cuts or doubles a few places of a file. */
function mutated(source: Uint8Array, next: (below: number) => number): Uint8Array {
  let bytes = source.slice();
  for (let i = next(4); i >= 0; i--) {
    const at = next(bytes.length);
    switch (next(5)) {
      case 0:
        bytes[at] = next(256);
        break;
      case 1:
        bytes[at]! ^= 1 << next(8);
        break;
      case 2:
        bytes = bytes.slice(0, Math.max(at, 1));
        break;
      case 3:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1 + next(9))]);
        break;
      default: {
        const part = bytes.slice(at, at + next(40));
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...part, ...bytes.subarray(at)]);
      }
    }
    if (bytes.length === 0) bytes = Uint8Array.of(0);
  }
  return bytes;
}

/** Files of every kind, small ones, so that mutations hit every part. */
async function mutationSources(): Promise<[string, Uint8Array][]> {
  const path = (name: string): string => join(TOKENIZERS, name);
  const small = path("spm-trained/shk-llama2c-512.model");
  const suffix = await Deno.readFile(path("spm-trained/shk-opts-suffix-1000.model"));
  const ranks = path("bpe-trained/shk-1024.tiktoken");
  const symbols = await readDefinition(path("spm-trained/runs-llama-700.model"));
  const bytes = await readDefinition(ranks);
  const vocab = Object.fromEntries(
    ["a", "b", "ab", "abb", "\u2581", "<0x41>"].map((t, i) => [t, i]),
  );
  const utf8 = (written: string): Uint8Array => new TextEncoder().encode(written);
  const gguf = async (name: string, definition: TokenizerDefinition): Promise<Uint8Array> =>
    await withFile(name, "", async (path) => {
      await writeGguf(path, [], { metadata: asGgufMetadata(definition), force: true });
      return await Deno.readFile(path);
    });
  return [
    ["tokenizer.model", await Deno.readFile(small)],
    ["cut.model", suffix.subarray(0, 20000)],
    ["rules.model", suffix],
    ["ranks.tiktoken", await Deno.readFile(ranks)],
    ["small.json", utf8(json(vocab, ["a b", "ab b"]))],
    ["symbols.json", asTokenizerJson(symbols)],
    ["bytes.json", asTokenizerJson(bytes)],
    ["symbols.gguf", await gguf("symbols.gguf", symbols)],
    ["bytes.gguf", await gguf("bytes.gguf", bytes)],
    ["tokenizer.bin", tokenizerFiles(symbols, "llama2c")[0]!.bytes],
  ];
}

testWith(
  HAS_VECTORS,
  "mutated tokenizer files are opened or refused, and never worse",
  async () => {
    const text = "Hello  world 123 \u2581 日本 <s>\n";
    const sources = await mutationSources();
    const seen = new Map<string, number>();
    const next = randomIntegers(99);
    const folder = await Deno.makeTempDir();
    try {
      for (let round = 0; round < 80 * sources.length; round++) {
        const [name, source] = sources[round % sources.length]!;
        const path = join(folder, name);
        // Each as it is at first, so that what is mutated is known to be good.
        const content = round < sources.length ? source : mutated(source, next);
        await Deno.writeFile(path, content);
        try {
          const tokenizer = await openTokenizer(path);
          seen.set(name, (seen.get(name) ?? 0) + 1);
          const ids = tokenizer.encode(text, { invalid: "replace" });
          ok(ids.every((id) => id < tokenizer.vocabSize || id === 0xffffffff));
          tokenizer.decode(ids.filter((id) => id < tokenizer.vocabSize));
          tokenizer.close();
        } catch (error) {
          ok(error instanceof LlameroError, `${name} ${round}: ${error}`);
        }
        await Deno.remove(path);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    const whole = sources.filter(([name]) => name !== "cut.model");
    for (const [name] of whole) ok((seen.get(name) ?? 0) > 0, `no ${name} was opened`);
    const opened = [...seen.values()].reduce((sum, count) => sum + count, 0);
    ok(opened > 40, `only ${opened} were opened`);
  },
);
