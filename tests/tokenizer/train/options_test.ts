import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { ConfigError } from "../../../lib/base/errors.ts";
import { PIECE_TYPE } from "../../../lib/formats/piece_list.ts";
import { byteName, metaPieces } from "../../../lib/tokenizer/train/meta_pieces.ts";
import {
  BYTE_DEFAULTS,
  checkTraining,
  type PieceTraining,
  TRAINING_DEFAULTS,
} from "../../../lib/tokenizer/train/options.ts";

const { llama, palm, sentencepiece } = TRAINING_DEFAULTS;

function refuses(options: Partial<PieceTraining>, message: RegExp): void {
  const training = { ...sentencepiece, ...options };
  const check = () => {
    checkTraining(training);
    metaPieces(training);
  };
  throws(check, (error: Error) => error instanceof ConfigError && message.test(error.message));
}

Deno.test("all defaults are valid", () => {
  for (const training of [llama, palm, sentencepiece, BYTE_DEFAULTS]) checkTraining(training);
});

Deno.test("the defaults of PaLM are Llama's, lossless and larger", () => {
  deepStrictEqual(palm, {
    ...llama,
    addDummyPrefix: false,
    literalMarks: true,
    vocabSize: 256000,
  });
});

Deno.test("values that spm_train refuses are refused", () => {
  refuses({ vocabSize: 0 }, /the vocabulary size is 0/);
  refuses({ vocabSize: 1.5 }, /the vocabulary size is 1.5/);
  refuses({ characterCoverage: 0.9 }, /the character coverage is 0.9, wanted 0.98 to 1/);
  refuses({ characterCoverage: NaN }, /the character coverage is NaN/);
  refuses({ maxSentencepieceLength: 0 }, /the longest piece is 0, wanted 1 to 512/);
  refuses({ maxSentenceLength: 9 }, /the longest sentence is 9, wanted 10/);
  refuses({ inputSentenceSize: 100 }, /the input sentence size is 100, wanted 0 or above 100/);
  refuses({ unkId: -1 }, /"<unk>" has the id -1, and it is needed/);
  refuses({ bosId: -2 }, /the id of the bos token is -2/);
  refuses({ eosId: 8000 }, /the id of the eos token is 8000, wanted -1 to 7999/);
  refuses({ requiredChars: "a b" }, /the required characters have a space/);
  refuses({ requiredChars: "▅" }, /the required characters have U\+2585/);
});

Deno.test("symbols and ids that clash are refused by name", () => {
  refuses({ bosId: 0 }, /"<unk>" and "<s>" both have the id 0/);
  refuses({ bosPiece: "</s>" }, /the ids 1 and 2 both have the piece "<\/s>"/);
  refuses({ controlSymbols: ["<x>", "<x>"] }, /the symbol "<x>" is defined twice/);
  refuses({ controlSymbols: ["<x>"], userDefinedSymbols: ["<x>"] }, /"<x>" is defined twice/);
  refuses({ userDefinedSymbols: ["<unk>"] }, /the unknown piece "<unk>" is also/);
  refuses({ userDefinedSymbols: ["<0x41>"], byteFallback: true }, /"<0x41>" is defined twice/);
  refuses({ userDefinedSymbols: [""] }, /a symbol is empty/);
  refuses({ controlSymbols: ["\ud800"] }, /is no Unicode text/);
});

Deno.test("byte-level training needs room for the bytes, and symbols that differ", () => {
  const check = (options: Partial<typeof BYTE_DEFAULTS>) => () =>
    checkTraining({ ...BYTE_DEFAULTS, ...options });
  throws(check({ vocabSize: 255 }), /wanted at least the 256 bytes/);
  throws(check({ controlSymbols: ["a", "a"] }), /the symbol "a" is given twice/);
  throws(check({ controlSymbols: [""] }), /a control symbol is empty/);
});

Deno.test("symbols take the first free ids, and a name that has one keeps it", () => {
  const pieces = metaPieces({
    ...sentencepiece,
    padId: 4,
    controlSymbols: ["<a>", "</s>", "<b>"],
    userDefinedSymbols: ["<s>"],
  });
  const { unknown, control, userDefined } = PIECE_TYPE;
  deepStrictEqual(pieces, [
    { id: 0, text: "<unk>", type: unknown },
    { id: 1, text: "<s>", type: userDefined },
    { id: 2, text: "</s>", type: control },
    { id: 3, text: "<a>", type: control },
    { id: 4, text: "<pad>", type: control },
    { id: 5, text: "<b>", type: control },
  ]);
});

Deno.test("bytes stand behind the symbols", () => {
  const pieces = metaPieces(llama);
  strictEqual(pieces.length, 3 + 256);
  deepStrictEqual(pieces[3], { id: 3, text: "<0x00>", type: PIECE_TYPE.byte });
  deepStrictEqual(pieces.at(-1), { id: 258, text: "<0xFF>", type: PIECE_TYPE.byte });
  strictEqual(byteName(10), "<0x0A>");
});
