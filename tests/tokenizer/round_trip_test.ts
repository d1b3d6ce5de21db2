import { strictEqual } from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  NORMALIZER_FIELD,
  parseSentencePieceModel,
} from "../../lib/formats/sentencepiece_model.ts";
import { packTexts } from "../../lib/tokenizer/description.ts";
import { compileTokenizer } from "../../lib/tokenizer/compiled.ts";
import type { CompiledTokenizer } from "../../lib/tokenizer/compiled_tokenizer.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";
import { defineSentencePiece } from "../../lib/tokenizer/sentencepiece.ts";
import { onBackends } from "../on_backends.ts";
import { HAS_VECTORS, TOKENIZERS } from "./vectors.ts";
import { randomIntegers } from "../random_integers.ts";

const missing = HAS_VECTORS.find((path) => !existsSync(path));
const options = { ignored: missing === undefined ? undefined : `no ${missing}` };

const ROUNDS = 100_000;

/** Stretches that tokenizers stumble over. */
const STRETCHES = [
  " ",
  "  ",
  "        ",
  "\u2581",
  "\u2585",
  "\u0000",
  "\ufeff",
  "\ufffd",
  "\n",
  "\r\n",
  "\t",
  "\u3000",
  "'s",
  "'ſ",
  "<s>",
  "<0x41>",
  "<|eot_id|>",
  "the",
  "ing",
  "1234",
  "日本語",
  "😀",
  "👩‍👩‍👧",
  "e\u0301",
  "\u202e",
];

function randomCharacter(next: (below: number) => number): string {
  switch (next(8)) {
    case 0:
    case 1:
    case 2:
      return String.fromCharCode(next(128));
    case 3:
      return String.fromCodePoint(0x80 + next(0x780));
    case 4:
      return String.fromCodePoint(0x10000 + next(0x100000));
    case 5: {
      const code = next(0x10000);
      return code >= 0xd800 && code < 0xe000 ? "x" : String.fromCharCode(code);
    }
    default:
      return STRETCHES[next(STRETCHES.length)]!;
  }
}

/** Encodes many random texts at once, decodes each, and gives what came back with what was wanted. */
function* roundTrips(tokenizer: CompiledTokenizer, seed: number): Generator<[string, string]> {
  const next = randomIntegers(seed);
  for (let done = 0; done < ROUNDS; done += 1000) {
    const texts = Array.from({ length: 1000 }, () => {
      let text = "";
      for (let i = next(24); i >= 0; i--) text += randomCharacter(next);
      return text;
    });
    const { ids, counts } = tokenizer.encodeBatch(packTexts(texts));
    let start = 0;
    for (const [i, text] of texts.entries()) {
      yield [tokenizer.decode(ids.subarray(start, start += counts[i]!)), text];
    }
  }
}

onBackends("100,000 random texts come back from Llama 3's ids", async (on) => {
  using opened = await on.open();
  const tokenizer = await openTokenizer(join(TOKENIZERS, "llama3/tokenizer.model"), opened);
  for (const [back, text] of roundTrips(tokenizer, 1)) strictEqual(back, text);
}, options);

onBackends("100,000 random texts come back from a lossless model's ids", async (on) => {
  using opened = await on.open();
  const path = join(TOKENIZERS, "spm-trained/mix-lossless-8000.model");
  const tokenizer = await openTokenizer(path, opened);
  for (const [back, text] of roundTrips(tokenizer, 2)) {
    // SentencePiece itself takes U+2581 for a space, there and back.
    strictEqual(back, text.replaceAll("\u2581", " "));
  }
}, options);

onBackends(
  "100,000 random texts come back from Llama 2's ids as from SentencePiece",
  async (on) => {
    using opened = await on.open();
    const tokenizer = await openTokenizer(join(TOKENIZERS, "llama2/tokenizer.model"), opened);
    for (const [back, text] of roundTrips(tokenizer, 3)) {
      strictEqual(back, text.replaceAll("\u2581", " "));
    }
  },
  options,
);

onBackends("100,000 random texts come back unchanged where U+2581 is kept apart", async (on) => {
  using opened = await on.open();
  const source = join(TOKENIZERS, "spm-trained/mix-lossless-8000.model");
  const model = parseSentencePieceModel(await Deno.readFile(source), source);
  const number = NORMALIZER_FIELD.literalMarks;
  const normalizer = [...model.normalizer, { number, wire: "varint" as const, value: 1n }];
  const definition = defineSentencePiece({ ...model, normalizer }, source);
  const tokenizer = compileTokenizer(definition, opened.backend);
  for (const [back, text] of roundTrips(tokenizer, 4)) strictEqual(back, text);
}, options);
