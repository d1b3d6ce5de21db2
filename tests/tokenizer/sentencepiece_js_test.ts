import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { FormatError } from "../../lib/base/errors.ts";
import { PIECE_TYPE, PieceListBuilder } from "../../lib/formats/piece_list.ts";
import {
  formatSentencePieceModel,
  MODEL_TYPE,
  NORMALIZER_FIELD,
  TRAINER_FIELD,
} from "../../lib/formats/sentencepiece_model.ts";
import { openTokenizer } from "../../lib/tokenizer/open.ts";

/** A unigram model in which "ab" costs 1.5 and "a" with "b" 3, but "cd" costs 9 and "c" with "d" 2. */
function unigramModel(): Uint8Array {
  const pieces = new PieceListBuilder();
  const rows: [string, number, number?][] = [
    ["<unk>", 0, PIECE_TYPE.unknown],
    ["<s>", 0, PIECE_TYPE.control],
    ["</s>", 0, PIECE_TYPE.control],
    ["\u2581", -4],
    ["a", -1],
    ["b", -2],
    ["ab", -1.5],
    ["c", -1],
    ["d", -1],
    ["cd", -9],
  ];
  for (const [text, score, type] of rows) {
    pieces.addText(text, { score, type: type ?? PIECE_TYPE.normal });
  }
  const wire = "varint" as const;
  return formatSentencePieceModel({
    pieces: pieces.finish(),
    trainer: [{ number: TRAINER_FIELD.modelType, wire, value: BigInt(MODEL_TYPE.unigram) }],
    normalizer: [
      { number: NORMALIZER_FIELD.addDummyPrefix, wire, value: 0n },
      { number: NORMALIZER_FIELD.removeExtraWhitespaces, wire, value: 0n },
    ],
    denormalizer: [],
    rest: [],
  });
}

Deno.test("a unigram model is encoded by SentencePiece itself: the cheapest pieces", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "tokenizer.model");
    await Deno.writeFile(path, unigramModel());
    const tokenizer = await openTokenizer(path);
    deepStrictEqual([...tokenizer.encode("abcd a")], [6, 7, 8, 3, 4]);
    strictEqual(tokenizer.encode("ab ".repeat(150_000)).length, 300_000);
    deepStrictEqual([...tokenizer.encode("ab</s>b", { special: "parse", bos: true })], [
      1,
      6,
      2,
      5,
    ]);
    strictEqual(tokenizer.decode([6, 7, 8, 3, 4]), "abcd a");
    const encoder = tokenizer.encoder();
    deepStrictEqual([...encoder.push("a"), ...encoder.push("b"), ...encoder.end()], [6]);
    const lines = { bytes: new TextEncoder().encode("abcd"), ends: Uint32Array.of(2, 4) };
    const { ids, counts } = tokenizer.encodeBatch(lines);
    deepStrictEqual([[...ids], [...counts]], [[6, 7, 8], [1, 2]]);
    throws(() => tokenizer.encode(Uint8Array.of(0x61, 0xff)), FormatError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
