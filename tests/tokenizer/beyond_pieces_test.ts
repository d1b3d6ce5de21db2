import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { FormatError } from "../../lib/base/errors.ts";
import { PIECE_TYPE } from "../../lib/formats/piece_list.ts";
import { parseTokenizerJson } from "../../lib/formats/tokenizer_json.ts";
import { asGgufMetadata } from "../../lib/tokenizer/as_gguf.ts";
import { asSentencePiece } from "../../lib/tokenizer/as_sentencepiece.ts";
import { asTokenizerJson } from "../../lib/tokenizer/as_tokenizer_json.ts";
import { nearPieces } from "../../lib/tokenizer/beyond_pieces.ts";
import { NO_NAMES } from "../../lib/tokenizer/config_files.ts";
import type { TokenizerDefinition } from "../../lib/tokenizer/definition.ts";
import { tokenizerFiles } from "../../lib/tokenizer/files.ts";
import { defineHuggingFace } from "../../lib/tokenizer/huggingface.ts";
import { FIXTURES, testWith } from "../fixtures.ts";

const LEGACY = [
  { type: "Prepend", prepend: "\u2581" },
  { type: "Replace", pattern: { String: " " }, content: "\u2581" },
];
const MERGES = ["a b", "\u2581 a", "\u2581 ab", "\u2581a b"];

/** A small tokenizer as Llama 2's are, with changes. */
function bytesOf(changes: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const { model = {}, special = true, ...parts } = changes;
  const vocab = ["<unk>", "a", "b", "\u2581", "ab", "\u2581a", "\u2581ab", "<end>"];
  const json = {
    added_tokens: [{ id: 7, content: "<end>", special, normalized: false }],
    normalizer: { type: "Sequence", normalizers: LEGACY },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...parts,
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      vocab: Object.fromEntries(vocab.map((text, id) => [text, id])),
      merges: MERGES,
      ...model as Record<string, unknown>,
    },
  };
  return new TextEncoder().encode(JSON.stringify(json));
}

function read(bytes: Uint8Array): TokenizerDefinition {
  return defineHuggingFace(parseTokenizerJson(bytes, "tokenizer.json"), NO_NAMES);
}

const metaspace = (scheme: string, split: boolean): unknown => (
  { type: "Metaspace", replacement: "\u2581", prepend_scheme: scheme, split }
);

Deno.test("a tokenizer that says what its pieces say is written as pieces", () => {
  const definition = read(bytesOf());
  strictEqual(asSentencePiece(definition).pieces.types.length, 8);
  const names = tokenizerFiles(definition, "hf").map(({ name }) => name);
  deepStrictEqual(names, ["tokenizer.model", "tokenizer.json", "tokenizer_config.json"]);
});

/** What pieces with scores cannot say, and what the refusal says of it. */
const BEYOND: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
  [{ model: { fuse_unk: false } }, /do not become one unknown piece/],
  [{ model: { unk_token: null } }, /it prepares text \(.*characters without a piece left out\)/],
  // SentencePiece would merge U+2581 with ab too.
  [{ model: { merges: ["a b", "\u2581 a", "\u2581a b"] } }, /its merges are not those of scores/],
  // A score is the piece's, whatever halves it is made of.
  [
    { model: { merges: ["\u2581a b", "\u2581 a", "\u2581 ab", "a b"] } },
    /its merges are not those of scores/,
  ],
];

Deno.test("what pieces cannot say is refused, and kept in tokenizer.json byte for byte", () => {
  for (const [changes, what] of BEYOND) {
    const bytes = bytesOf(changes);
    const definition = read(bytes);
    for (const write of [asSentencePiece, asGgufMetadata]) {
      throws(() => write(definition), (error) => {
        match((error as Error).message, what);
        return error instanceof FormatError && error.hint !== undefined;
      });
    }
    throws(() => tokenizerFiles(definition, "llama2c"), FormatError);
    const files = tokenizerFiles(definition, "hf");
    deepStrictEqual(files.map(({ name }) => name), ["tokenizer.json", "tokenizer_config.json"]);
    deepStrictEqual(files[0]!.bytes, bytes);
  }
});

/** What pieces nearly say, and where they do not. */
const NEAR: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
  [{ normalizer: null, pre_tokenizer: metaspace("first", false) }, /texts that begin with a space/],
  [{ normalizer: null, pre_tokenizer: metaspace("always", true) }, /texts that begin with a space/],
  [{ special: false }, /what stands behind "<end>"/],
];

Deno.test("what pieces nearly say is written, and where they do not is told", () => {
  for (const [changes, where] of NEAR) {
    const bytes = bytesOf(changes);
    const definition = read(bytes);
    match(nearPieces(definition) ?? "", where);
    strictEqual(asSentencePiece(definition).pieces.types.length, 8);
    const files = tokenizerFiles(definition, "hf");
    deepStrictEqual(files.map(({ name }) => name), ["tokenizer.json", "tokenizer_config.json"]);
    deepStrictEqual(files[0]!.bytes, bytes);
  }
});

Deno.test("a token that is not special is found in all text behind writing, too", () => {
  const { pieces } = asSentencePiece(read(bytesOf({ special: false })));
  deepStrictEqual(pieces.types[7], PIECE_TYPE.userDefined);
  deepStrictEqual(asSentencePiece(read(bytesOf())).pieces.types[7], PIECE_TYPE.control);
});

testWith(
  [join(FIXTURES, "tokenizer")],
  "Llama 2's two tokenizer.json are written as they were, the legacy one as pieces too",
  () => {
    const open = (name: string): TokenizerDefinition =>
      read(
        gunzipSync(readFileSync(join(FIXTURES, `tokenizer/hf/llama2.${name}.tokenizer.json.gz`))),
      );
    const [legacy, other] = [open("legacy"), open("nonlegacy")];
    strictEqual(asSentencePiece(legacy).pieces.types.length, 32000);
    strictEqual(nearPieces(legacy), undefined);
    match(nearPieces(other) ?? "", /texts that begin with a space/);
    strictEqual(asSentencePiece(other).pieces.types.length, 32000);
    const files = tokenizerFiles(other, "hf").map(({ name }) => name);
    deepStrictEqual(files, ["tokenizer.json", "tokenizer_config.json"]);
    deepStrictEqual(read(asTokenizerJson(other)).description, other.description);
  },
);
