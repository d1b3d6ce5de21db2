import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import type { GgufValue } from "../../lib/formats/gguf_types.ts";
import { writeGguf } from "../../lib/formats/gguf_write.ts";
import { PIECE_TYPE, pieceText } from "../../lib/formats/piece_list.ts";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { asGgufMetadata } from "../../lib/tokenizer/as_gguf.ts";
import { byteLevelParts } from "../../lib/tokenizer/huggingface_bytes.ts";
import { NO_NAMES } from "../../lib/tokenizer/config_files.ts";
import type { TokenizerDefinition } from "../../lib/tokenizer/definition.ts";
import { FLAG } from "../../lib/tokenizer/description.ts";
import { defineHuggingFace } from "../../lib/tokenizer/huggingface.ts";
import { readDefinition } from "../../lib/tokenizer/open.ts";
import { LLAMA3_SPLIT } from "../../lib/tokenizer/split_patterns.ts";

type Keys = Readonly<Record<string, GgufValue>>;

const text = (value: string): GgufValue => ({ type: "string", value });
const strings = (value: string[]): GgufValue => ({ type: "array", of: "string", value });
const types = (...value: number[]): GgufValue => (
  { type: "array", of: "i32", value: Int32Array.from(value) }
);
const id = (value: number): GgufValue => ({ type: "u32", value });
const { normal, unknown, control, userDefined, unused } = PIECE_TYPE;

/** The definition of a file with these keys. */
async function defined(keys: Keys): Promise<TokenizerDefinition> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "tokenizer.gguf");
    const entries = Object.entries(keys).map(([key, value]) =>
      [`tokenizer.ggml.${key}`, value] as const
    );
    await writeGguf(path, [], { metadata: new Map(entries) });
    return await readDefinition(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const LLAMA: Keys = {
  model: text("llama"),
  tokens: strings(["<unk>", "<s>", "</s>", "a", "<pad>"]),
  scores: { type: "array", of: "f32", value: new Float32Array(5) },
  token_type: types(unknown, control, control, normal, unknown),
};

Deno.test("what a file of Llama's does not say is as llama.cpp takes it", async () => {
  const { bosId, eosId, unkId, addBos, addEos } = await defined(LLAMA);
  deepStrictEqual({ bosId, eosId, unkId, addBos, addEos }, {
    bosId: 1,
    eosId: 2,
    unkId: 0,
    addBos: true,
    addEos: false,
  });
});

Deno.test("of several unknown pieces the one counts that the file names", async () => {
  strictEqual((await defined({ ...LLAMA, unknown_token_id: id(4) })).unkId, 4);
  const first = { ...LLAMA, token_type: types(control, control, control, normal, unknown) };
  strictEqual((await defined({ ...first, unknown_token_id: id(0) })).unkId, 0);
  strictEqual((await defined(first)).unkId, 4);
});

const BYTES: Keys = {
  model: text("gpt2"),
  tokens: strings(["a", "b", "ab", "<s>", "<tool>", "[PADDING"]),
  token_type: types(normal, normal, normal, control, userDefined, normal),
  merges: strings(["a b"]),
  bos_token_id: id(3),
};

Deno.test("pre-tokenizers are known by llama.cpp's names, and what goes with each", async () => {
  const known = async (pre: string): Promise<[number, boolean]> => {
    const { description: { flags }, addBos } = await defined({ ...BYTES, pre: text(pre) });
    return [flags & (FLAG.wholeFirst | FLAG.splitGpt2 | FLAG.numbersAlone), addBos];
  };
  deepStrictEqual(await known("llama-bpe"), [FLAG.wholeFirst, true]);
  deepStrictEqual(await known("smaug-bpe"), [0, false]);
  deepStrictEqual(await known("stablelm2"), [FLAG.numbersAlone, false]);
  deepStrictEqual(await known("gpt-2"), [FLAG.splitGpt2, false]);
  deepStrictEqual(await known("refact"), [FLAG.splitGpt2 | FLAG.numbersAlone, false]);
  await rejects(defined({ ...BYTES, pre: text("falcon") }), /splits text by "falcon", wanted/);
});

Deno.test("a file of bytes that merge is written with the types and names that it was read with", async () => {
  const definition = await defined({ ...BYTES, pre: text("smaug-bpe") });
  const written = asGgufMetadata(definition);
  const value = (key: string): unknown => written.get(`tokenizer.ggml.${key}`)?.value;
  deepStrictEqual(value("tokens"), BYTES["tokens"]!.value);
  deepStrictEqual(value("token_type"), BYTES["token_type"]!.value);
  strictEqual(value("pre"), "dbrx");
  const json = parseTokenizerJson(
    new TextEncoder().encode(JSON.stringify({
      added_tokens: [{ id: 2, content: "<s>", special: true }],
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
      model: { type: "BPE", ignore_merges: true, vocab: { a: 0, b: 3 }, merges: [] },
    })),
    "a.json",
  );
  const own = defineHuggingFace(json, NO_NAMES);
  throws(() => asGgufMetadata(own), /as GGUF: it takes whole pieces before merges/);
  const parts = { split: LLAMA3_SPLIT, wholeFirst: true, addedMerge: true };
  const whole = asGgufMetadata({ ...own, ...byteLevelParts(json, parts) });
  strictEqual(whole.get("tokenizer.ggml.pre")?.value, "llama-bpe");
  // Where an id has neither a piece nor a name, a name is made up that nothing becomes.
  deepStrictEqual([1, 2].map((i) => pieceText(own.pieces, i)), ["", "<s>"]);
  const expected = Int32Array.of(normal, unused, control, normal);
  deepStrictEqual(whole.get("tokenizer.ggml.token_type")?.value, expected);
});
