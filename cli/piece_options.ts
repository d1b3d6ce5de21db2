/**
 * The options of `spm_train` that shape a tokenizer, under their own names.
 *
 * @module
 */

import type { OptionSpecs } from "./command.ts";
import type { TokenizeTrainOptions } from "./commands/tokenize_train.spec.ts";
import { integer, real } from "./option_values.ts";

/** Options of `tokenize train` that are not `spm_train`'s. */
export type OtherKeys =
  | "kind"
  | "out"
  | "defaults"
  | "inputFormat"
  | "field"
  | "force"
  | "backend"
  | "threads"
  | "seed"
  | "json"
  | "quiet"
  | "verbose";

/** Options by where they stand in the help. */
type Options<K extends keyof TokenizeTrainOptions> = OptionSpecs<Pick<TokenizeTrainOptions, K>>;

const id = integer({ min: -1, max: 2 ** 27 });

const SIZE: Options<
  | "vocabSize"
  | "hardVocabLimit"
  | "characterCoverage"
  | "inputSentenceSize"
  | "shuffleInputSentence"
  | "maxSentenceLength"
  | "maxSentencepieceLength"
> = {
  vocabSize: {
    group: "Size",
    value: "N",
    parse: integer({ min: 1 }),
    defaultDoc: "32000, palm 256000, sentencepiece 8000",
    doc: "number of pieces in all; for bytes without the control symbols",
  },
  hardVocabLimit: {
    group: "Size",
    negatable: true,
    doc: "fail where the text allows fewer pieces, instead of taking fewer (on)",
  },
  characterCoverage: {
    group: "Size",
    value: "SHARE",
    parse: real({ min: 0.98, max: 1 }),
    defaultDoc: "0.99995, sentencepiece 0.9995",
    doc: "share of the text's characters that pieces are made of",
  },
  inputSentenceSize: {
    group: "Size",
    value: "N",
    parse: integer({ min: 0, max: 2 ** 32 }),
    defaultDoc: "0, which is all",
    doc: "train on so many lines",
  },
  shuffleInputSentence: {
    group: "Size",
    negatable: true,
    doc: "draw these lines from all, instead of taking the first ones (on)",
  },
  maxSentenceLength: {
    group: "Size",
    value: "BYTES",
    parse: integer({ min: 10, max: 2 ** 30 }),
    defaultDoc: "4192",
    doc: "leave longer lines out",
  },
  maxSentencepieceLength: {
    group: "Size",
    value: "N",
    parse: integer({ min: 1, max: 512 }),
    defaultDoc: "16",
    doc: "longest piece in characters",
  },
};

const PIECES: Options<
  | "byteFallback"
  | "splitDigits"
  | "splitByWhitespace"
  | "splitByNumber"
  | "splitByUnicodeScript"
  | "allowWhitespaceOnlyPieces"
  | "treatWhitespaceAsSuffix"
> = {
  byteFallback: {
    group: "Pieces",
    negatable: true,
    doc: "characters that are no piece become bytes (on: llama, palm)",
  },
  splitDigits: {
    group: "Pieces",
    negatable: true,
    doc: "every digit is a piece of its own (on: llama, palm)",
  },
  splitByWhitespace: {
    group: "Pieces",
    negatable: true,
    doc: "no piece reaches over a space (on)",
  },
  splitByNumber: {
    group: "Pieces",
    negatable: true,
    doc: "no piece has digits and something else (on)",
  },
  splitByUnicodeScript: {
    group: "Pieces",
    negatable: true,
    doc: "no piece has characters of two scripts (on)",
  },
  allowWhitespaceOnlyPieces: {
    group: "Pieces",
    negatable: true,
    doc: "runs of spaces become pieces (on: llama, palm)",
  },
  treatWhitespaceAsSuffix: {
    group: "Pieces",
    negatable: true,
    doc: "a space belongs to the word before it (off)",
  },
};

const TEXT: Options<
  | "normalizationRuleName"
  | "normalizationRuleTsv"
  | "removeExtraWhitespaces"
  | "addDummyPrefix"
  | "literalMarks"
> = {
  normalizationRuleName: {
    group: "Text",
    value: "NAME",
    choices: ["identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"],
    defaultDoc: "identity, sentencepiece nmt_nfkc",
    doc: "what is done to text first",
  },
  normalizationRuleTsv: {
    group: "Text",
    value: "FILE",
    doc: "rules to take instead: code points in hexadecimal, a tab, what they become",
  },
  removeExtraWhitespaces: {
    group: "Text",
    negatable: true,
    doc: "runs of spaces become one, those at the ends none (on: sentencepiece)",
  },
  addDummyPrefix: {
    group: "Text",
    negatable: true,
    doc: "put a space in front of every text (on: llama, sentencepiece)",
  },
  literalMarks: {
    group: "Text",
    negatable: true,
    doc: "U+2581 in text is no space, as it is to SentencePiece, and comes back (on: palm)",
  },
};

const SYMBOLS: Options<
  | "userDefinedSymbols"
  | "userDefinedSymbolsFile"
  | "controlSymbols"
  | "controlSymbolsFile"
  | "requiredChars"
  | "requiredCharsFile"
> = {
  userDefinedSymbols: {
    group: "Symbols",
    value: "LIST",
    repeat: "each",
    doc: "strings that are always one token, with commas between; quote one that has a comma",
  },
  userDefinedSymbolsFile: {
    group: "Symbols",
    value: "FILE",
    repeat: "each",
    doc: "a file with one of them on each line",
  },
  controlSymbols: {
    group: "Symbols",
    value: "LIST",
    repeat: "each",
    defaultDoc: "none; for bytes <|begin_of_text|>,<|end_of_text|>",
    doc: "tokens that text never becomes, with commas between",
  },
  controlSymbolsFile: {
    group: "Symbols",
    value: "FILE",
    repeat: "each",
    doc: "a file with one of them on each line",
  },
  requiredChars: {
    group: "Symbols",
    value: "CHARACTERS",
    doc: "characters that are pieces however rare they are",
  },
  requiredCharsFile: {
    group: "Symbols",
    value: "FILE",
    repeat: "each",
    doc: "a file with such characters",
  },
};

const IDS: Options<
  | "unkId"
  | "bosId"
  | "eosId"
  | "padId"
  | "unkPiece"
  | "bosPiece"
  | "eosPiece"
  | "padPiece"
  | "unkSurface"
> = {
  unkId: { group: "Ids", value: "ID", parse: id, defaultDoc: "0", doc: "id of the unknown piece" },
  bosId: {
    group: "Ids",
    value: "ID",
    parse: id,
    defaultDoc: "1",
    doc: "id of the token that begins a text; -1 for none",
  },
  eosId: {
    group: "Ids",
    value: "ID",
    parse: id,
    defaultDoc: "2",
    doc: "id of the token that ends a text; -1 for none",
  },
  padId: {
    group: "Ids",
    value: "ID",
    parse: id,
    defaultDoc: "-1",
    doc: "id of the token that fills batches; -1 for none",
  },
  unkPiece: { group: "Ids", value: "TEXT", defaultDoc: "<unk>", doc: "the unknown piece" },
  bosPiece: { group: "Ids", value: "TEXT", defaultDoc: "<s>", doc: "the token that begins a text" },
  eosPiece: { group: "Ids", value: "TEXT", defaultDoc: "</s>", doc: "the token that ends a text" },
  padPiece: {
    group: "Ids",
    value: "TEXT",
    defaultDoc: "<pad>",
    doc: "the token that fills batches",
  },
  unkSurface: {
    group: "Ids",
    value: "TEXT",
    defaultDoc: "U+2047 between spaces",
    doc: "what the unknown piece decodes to",
  },
};

/** All of them, in the order of the help. */
export const PIECE_OPTIONS: OptionSpecs<Omit<TokenizeTrainOptions, OtherKeys>> = {
  ...SIZE,
  ...PIECES,
  ...TEXT,
  ...SYMBOLS,
  ...IDS,
};
