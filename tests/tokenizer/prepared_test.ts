import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { FormatError, LlameroError } from "../../lib/base/errors.ts";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { asGgufMetadata } from "../../lib/tokenizer/as_gguf.ts";
import { asTokenizerJson } from "../../lib/tokenizer/as_tokenizer_json.ts";
import { CHARACTER_OF_BYTE } from "../../lib/tokenizer/byte_level.ts";
import { compileTokenizer } from "../../lib/tokenizer/compiled.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { NO_NAMES } from "../../lib/tokenizer/config_files.ts";
import type { TokenizerDefinition } from "../../lib/tokenizer/definition.ts";
import { asTiktokenRanks, tokenizerFiles } from "../../lib/tokenizer/files.ts";
import { defineHuggingFace } from "../../lib/tokenizer/huggingface.ts";
import { sharedTextBackend } from "../../lib/tokenizer/text_engine.ts";

const encoder = new TextEncoder();

/** A vocabulary of the 256 bytes, so that ids are bytes, and one token of id 256. */
function definition(
  normalizer: unknown,
  { prefix = false, name = "<end>" }: { prefix?: boolean; name?: string } = {},
): TokenizerDefinition {
  const vocab = Object.fromEntries(
    Array.from(CHARACTER_OF_BYTE, (character, byte) => [String.fromCharCode(character), byte]),
  );
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const json = {
    added_tokens: [{ id: 256, content: name, special: true, ...flags }],
    normalizer,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: prefix, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [] },
  };
  return readBack(encoder.encode(JSON.stringify(json)));
}

function readBack(bytes: Uint8Array): TokenizerDefinition {
  return defineHuggingFace(parseTokenizerJson(bytes, "tokenizer.json"), NO_NAMES);
}

async function using(
  from: TokenizerDefinition,
  use: (tokenizer: CompiledTokenizer) => void,
): Promise<void> {
  const tokenizer = compileTokenizer(from, await sharedTextBackend());
  use(tokenizer);
  tokenizer.close();
}

const bytesOf = (text: string): number[] => [...encoder.encode(text)];

Deno.test("a stretch is brought into its normal form apart from the tokens around it", () =>
  using(definition({ type: "NFC" }), (tokenizer) => {
    const ids = [...tokenizer.encode("e\u0301<end>\u0301", { special: "parse" })];
    deepStrictEqual(ids, [...bytesOf("\u00e9"), 256, ...bytesOf("\u0301")]);
    deepStrictEqual([...tokenizer.encode("<end>\u0338")], bytesOf("<end\u226f"));
    strictEqual(tokenizer.decode(ids), "\u00e9<end>\u0301");
  }));

Deno.test("what is prepared is written to tokenizer.json and read back, and to nothing else", async () => {
  const strip = { type: "Strip", strip_left: true, strip_right: false };
  const normalizer = { type: "Sequence", normalizers: [{ type: "NFKC" }, strip] };
  const original = definition(normalizer, { prefix: true });
  const again = readBack(asTokenizerJson(original));
  deepStrictEqual(again.preparation, original.preparation);
  strictEqual(again.normalization, original.normalization);
  for (const from of [original, again]) {
    await using(from, (tokenizer) => {
      deepStrictEqual([...tokenizer.encode(" \ufb01 ")], bytesOf(" fi "));
    });
  }
  const names = tokenizerFiles(original, "hf").map(({ name }) => name);
  deepStrictEqual(names, ["tokenizer.json", "tokenizer_config.json"]);
  throws(() => asGgufMetadata(original), /as GGUF: it prepares text \(NFKC, /);
  throws(() => asTiktokenRanks(original), FormatError);
});

Deno.test("a stream of lines gives the ids of a line when the next begins", () =>
  using(definition({ type: "NFC" }), (tokenizer) => {
    const stream = tokenizer.encoder({ bos: true });
    deepStrictEqual([...stream.push("e\u0301\nthe")], bytesOf("\u00e9\n"));
    deepStrictEqual([...stream.push(encoder.encode("\n\u0301"))], []);
    deepStrictEqual([...stream.push(encoder.encode("a\nb"))], bytesOf("the\n\u0301a\n"));
    deepStrictEqual([...stream.end()], bytesOf("b"));
    deepStrictEqual([...stream.push("c")], []);
    deepStrictEqual([...stream.end()], bytesOf("c"));
  }));

Deno.test("a token that begins with a letter keeps a stream whole", () =>
  using(definition({ type: "NFC" }, { name: "end" }), (tokenizer) => {
    const stream = tokenizer.encoder({ special: "parse" });
    deepStrictEqual([...stream.push("a\nend")], []);
    deepStrictEqual([...stream.end()], [...bytesOf("a\n"), 256]);
  }));

Deno.test("malformed bytes and unwanted tokens are refused with their place", () =>
  using(definition({ type: "NFC" }), (tokenizer) => {
    const malformed = Uint8Array.of(0x61, 0xff, 0x62);
    const at = (offset: number) => (error: unknown): boolean =>
      error instanceof FormatError && error.offset === offset;
    throws(() => tokenizer.encode(malformed), at(1));
    throws(() => tokenizer.encodeBatch({ bytes: malformed, ends: Uint32Array.of(1, 3) }), at(1));
    const stream = tokenizer.encoder();
    stream.push("ab\nc");
    stream.push(malformed);
    throws(() => stream.end(), at(5));
    deepStrictEqual([...tokenizer.encode(malformed, { invalid: "replace" })], bytesOf("a\ufffdb"));
    throws(
      () => tokenizer.encode("\u00e9<end>", { special: "refuse" }),
      (error) => error instanceof LlameroError && /"<end>" at byte 2, /.test(error.message),
    );
  }));

Deno.test("a batch gives the ids of its texts", () =>
  using(definition({ type: "NFD" }, { prefix: true }), (tokenizer) => {
    const texts = ["\u00e9", "", " b"];
    const bytes = encoder.encode(texts.join(""));
    const { ids, counts } = tokenizer.encodeBatch({ bytes, ends: Uint32Array.of(2, 2, 4) });
    deepStrictEqual([...ids], bytesOf(" e\u0301 b"));
    deepStrictEqual([...counts], [4, 0, 2]);
  }));

Deno.test("a step that byte-level tokenizers here have not is named", () => {
  throws(() => definition({ type: "Lowercase" }), /its normalizer has a step "Lowercase"/);
});
