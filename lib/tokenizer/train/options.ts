/**
 * How a tokenizer is trained: the options of `spm_train` under their own names, and what they are by
 * default.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { quoted } from "../../base/quoted.ts";

/** Normalization rules that come with SentencePiece. */
export type NormalizationRule = "identity" | "nfkc" | "nmt_nfkc" | "nfkc_cf" | "nmt_nfkc_cf";

/** What both kinds of training have. */
export interface SamplingOptions {
  /** Number of pieces in all. For byte-level training: ranks, control symbols not counted. */
  readonly vocabSize: number;
  /** A vocabulary smaller than asked for is an error; otherwise it is what the text allows. */
  readonly hardVocabLimit: boolean;
  /** Trains on so many lines instead of all; 0 for all. */
  readonly inputSentenceSize: number;
  /** Draws these lines from all, instead of taking the first ones. */
  readonly shuffleInputSentence: boolean;
  /** Tokens that text never becomes. */
  readonly controlSymbols: readonly string[];
}

/** Training of a byte-level vocabulary. */
export interface ByteTraining extends SamplingOptions {
  /** Tells it from the other. */
  readonly kind: "bytes";
}

/** Training as `spm_train --model_type=bpe` does it. */
export interface PieceTraining extends SamplingOptions {
  /** Tells it from the other. */
  readonly kind: "spm";
  /** Share of the text's characters that the alphabet covers, 0.98 to 1. */
  readonly characterCoverage: number;
  /** What is done to text first. */
  readonly normalizationRuleName: NormalizationRule;
  /** A file of rules to take instead, empty for none. */
  readonly normalizationRuleTsv: string;
  /** Characters outside the alphabet become bytes. */
  readonly byteFallback: boolean;
  /** Every digit is a piece of its own. */
  readonly splitDigits: boolean;
  /** No piece reaches over a space. */
  readonly splitByWhitespace: boolean;
  /** No piece has digits and something else. */
  readonly splitByNumber: boolean;
  /** No piece has characters of two scripts; those of Japanese count as one. */
  readonly splitByUnicodeScript: boolean;
  /** A space belongs to the word before it. */
  readonly treatWhitespaceAsSuffix: boolean;
  /** Pieces of spaces alone exist. */
  readonly allowWhitespaceOnlyPieces: boolean;
  /** Runs of spaces become one, those at the ends none. */
  readonly removeExtraWhitespaces: boolean;
  /** A space is put in front of every text. */
  readonly addDummyPrefix: boolean;
  /** U+2581 in text is a character, not a space: ours, other readers skip it. */
  readonly literalMarks: boolean;
  /** Longest piece in characters, 1 to 512. */
  readonly maxSentencepieceLength: number;
  /** Longer lines, in bytes, are left out. */
  readonly maxSentenceLength: number;
  /** Strings that are always one token. */
  readonly userDefinedSymbols: readonly string[];
  /** Characters that the alphabet must have. */
  readonly requiredChars: string;
  /** Id of the unknown piece. */
  readonly unkId: number;
  /** Id of the begin token, -1 for none. */
  readonly bosId: number;
  /** Id of the end token, -1 for none. */
  readonly eosId: number;
  /** Id of the padding token, -1 for none. */
  readonly padId: number;
  /** How the unknown piece is written. */
  readonly unkPiece: string;
  /** The begin token. */
  readonly bosPiece: string;
  /** The end token. */
  readonly eosPiece: string;
  /** The padding token. */
  readonly padPiece: string;
  /** What the unknown piece decodes to. */
  readonly unkSurface: string;
}

/** What is trained, and how. */
export type Training = PieceTraining | ByteTraining;

/** Where options that are not given come from. */
export type TrainingDefaults = "llama" | "palm" | "sentencepiece";

/** As `spm_train` has them. */
const SENTENCEPIECE: PieceTraining = {
  kind: "spm",
  vocabSize: 8000,
  hardVocabLimit: true,
  inputSentenceSize: 0,
  shuffleInputSentence: true,
  controlSymbols: [],
  characterCoverage: 0.9995,
  normalizationRuleName: "nmt_nfkc",
  normalizationRuleTsv: "",
  byteFallback: false,
  splitDigits: false,
  splitByWhitespace: true,
  splitByNumber: true,
  splitByUnicodeScript: true,
  treatWhitespaceAsSuffix: false,
  allowWhitespaceOnlyPieces: false,
  removeExtraWhitespaces: true,
  addDummyPrefix: true,
  literalMarks: false,
  maxSentencepieceLength: 16,
  maxSentenceLength: 4192,
  userDefinedSymbols: [],
  requiredChars: "",
  unkId: 0,
  bosId: 1,
  eosId: 2,
  padId: -1,
  unkPiece: "<unk>",
  bosPiece: "<s>",
  eosPiece: "</s>",
  padPiece: "<pad>",
  unkSurface: " \u2047 ",
};

/** As Llama 2's model says of itself (Touvron et al. 2023, section 2.2). */
const LLAMA: PieceTraining = {
  ...SENTENCEPIECE,
  vocabSize: 32000,
  characterCoverage: 0.99995,
  normalizationRuleName: "identity",
  byteFallback: true,
  splitDigits: true,
  allowWhitespaceOnlyPieces: true,
  removeExtraWhitespaces: false,
};

/** Options by the name of their defaults; `palm` is lossless (Chowdhery et al. 2022, section 2). */
export const TRAINING_DEFAULTS: Readonly<Record<TrainingDefaults, PieceTraining>> = {
  llama: LLAMA,
  palm: { ...LLAMA, vocabSize: 256000, addDummyPrefix: false, literalMarks: true },
  sentencepiece: SENTENCEPIECE,
};

/** Byte-level training as Llama 3's, but for the size. */
export const BYTE_DEFAULTS: ByteTraining = {
  kind: "bytes",
  vocabSize: 32000,
  hardVocabLimit: true,
  inputSentenceSize: 0,
  shuffleInputSentence: true,
  controlSymbols: ["<|begin_of_text|>", "<|end_of_text|>"],
};

/** Makes the error for options that do not go together. */
export function trainingRefusal(what: string, hint?: string): ConfigError {
  return new ConfigError(`Cannot train a tokenizer: ${what}`, { hint });
}

function checkRange(
  name: string,
  value: number,
  { min, max, whole = true }: { min: number; max: number; whole?: boolean },
): void {
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return;
  throw trainingRefusal(`${name} is ${value}, wanted ${min} to ${max}`);
}

/** Refuses what no training can do, as `spm_train` refuses it. @throws {ConfigError} */
export function checkTraining(training: Training): void {
  checkRange("the vocabulary size", training.vocabSize, { min: 1, max: 2 ** 27 });
  const { inputSentenceSize } = training;
  checkRange("the input sentence size", inputSentenceSize, { min: 0, max: 2 ** 32 });
  if (inputSentenceSize > 0 && inputSentenceSize <= 100) {
    throw trainingRefusal(`the input sentence size is ${inputSentenceSize}, wanted 0 or above 100`);
  }
  if (training.kind === "bytes") return checkByteTraining(training);
  checkRange("the character coverage", training.characterCoverage, {
    min: 0.98,
    max: 1,
    whole: false,
  });
  const { maxSentencepieceLength, maxSentenceLength } = training;
  checkRange("the longest piece", maxSentencepieceLength, { min: 1, max: 512 });
  checkRange("the longest sentence", maxSentenceLength, { min: 10, max: 2 ** 30 });
  const { unkId, bosId, eosId, padId } = training;
  for (const [name, id] of Object.entries({ unkId, bosId, eosId, padId })) {
    const token = name.slice(0, 3);
    checkRange(`the id of the ${token} token`, id, { min: -1, max: training.vocabSize - 1 });
  }
  if (/[ \u2585]/.test(training.requiredChars)) {
    const what = training.requiredChars.includes(" ")
      ? "a space, which pieces write as U+2581"
      : "U+2585, which stands for unknown characters";
    throw trainingRefusal(`the required characters have ${what}`);
  }
}

function checkByteTraining({ vocabSize, controlSymbols }: ByteTraining): void {
  if (vocabSize < 256) {
    throw trainingRefusal(`the vocabulary size is ${vocabSize}, wanted at least the 256 bytes`);
  }
  const seen = new Set<string>();
  for (const symbol of controlSymbols) {
    if (symbol === "") throw trainingRefusal("a control symbol is empty");
    if (seen.has(symbol)) throw trainingRefusal(`the symbol ${quoted(symbol)} is given twice`);
    seen.add(symbol);
  }
}
