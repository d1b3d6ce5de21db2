/**
 * What a trained SentencePiece model says of its training, field by field as `spm_train` 0.1.97 writes
 * it, so that the same training gives the same file.
 *
 * @module
 */

import type { PieceList } from "../../formats/piece_list.ts";
import type { ProtobufField } from "../../formats/protobuf.ts";
import {
  MODEL_TYPE,
  NORMALIZER_FIELD,
  type SentencePieceModel,
  TRAINER_FIELD,
} from "../../formats/sentencepiece_model.ts";
import type { PieceTraining } from "./options.ts";

/** What a model records without being shaped by it. */
export interface TrainingRecord {
  /** The input files as they were named. */
  readonly input: readonly string[];
  /** `text`, or empty where it was not given. */
  readonly inputFormat: string;
  /** What `spm_train` would have written the model as. */
  readonly modelPrefix: string;
  /** Threads; ours do not shape the result and are not recorded. */
  readonly numThreads: number;
}

/** Fields of `TrainerSpec` that only training looks at. */
const TRAINING_FIELD = {
  input: 1,
  modelPrefix: 2,
  vocabSize: 4,
  selfTestSampleSize: 6,
  inputFormat: 7,
  characterCoverage: 10,
  inputSentenceSize: 11,
  seedSentencepieceSize: 14,
  shrinkingFactor: 15,
  numThreads: 16,
  numSubIterations: 17,
  maxSentenceLength: 18,
  shuffleInputSentence: 19,
  maxSentencepieceLength: 20,
  splitByUnicodeScript: 21,
  splitByWhitespace: 22,
  splitByNumber: 23,
  splitDigits: 25,
  allowWhitespaceOnlyPieces: 26,
  controlSymbols: 30,
  userDefinedSymbols: 31,
  vocabularyOutputPieceScore: 32,
  hardVocabLimit: 33,
  useAllVocab: 34,
  requiredChars: 36,
  trainExtremelyLargeCorpus: 49,
  enableDifferentialPrivacy: 50,
  differentialPrivacyNoiseLevel: 51,
  differentialPrivacyClippingThreshold: 52,
} as const;

const encoder = new TextEncoder();

function varint(number: number, value: number | boolean): ProtobufField {
  return { number, wire: "varint", value: BigInt.asUintN(64, BigInt(value)) };
}

function float(number: number, value: number): ProtobufField {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return { number, wire: "fixed32", value: bits };
}

function text(number: number, value: string): ProtobufField {
  return { number, wire: "bytes", value: encoder.encode(value) };
}

function trainerSpec(
  training: PieceTraining,
  record: TrainingRecord,
  vocabSize: number,
): ProtobufField[] {
  const field = { ...TRAINING_FIELD, ...TRAINER_FIELD };
  return [
    ...record.input.map((name) => text(field.input, name)),
    text(field.modelPrefix, record.modelPrefix),
    varint(field.modelType, MODEL_TYPE.bpe),
    varint(field.vocabSize, vocabSize),
    varint(field.selfTestSampleSize, 0),
    text(field.inputFormat, record.inputFormat),
    float(field.characterCoverage, training.characterCoverage),
    varint(field.inputSentenceSize, training.inputSentenceSize),
    varint(field.seedSentencepieceSize, 1_000_000),
    float(field.shrinkingFactor, 0.75),
    varint(field.numThreads, record.numThreads),
    varint(field.numSubIterations, 2),
    varint(field.maxSentenceLength, training.maxSentenceLength),
    varint(field.shuffleInputSentence, training.shuffleInputSentence),
    varint(field.maxSentencepieceLength, training.maxSentencepieceLength),
    varint(field.splitByUnicodeScript, training.splitByUnicodeScript),
    varint(field.splitByWhitespace, training.splitByWhitespace),
    varint(field.splitByNumber, training.splitByNumber),
    varint(field.treatWhitespaceAsSuffix, training.treatWhitespaceAsSuffix),
    varint(field.splitDigits, training.splitDigits),
    varint(field.allowWhitespaceOnlyPieces, training.allowWhitespaceOnlyPieces),
    ...training.controlSymbols.map((symbol) => text(field.controlSymbols, symbol)),
    ...training.userDefinedSymbols.map((symbol) => text(field.userDefinedSymbols, symbol)),
    varint(field.vocabularyOutputPieceScore, true),
    varint(field.hardVocabLimit, training.hardVocabLimit),
    varint(field.useAllVocab, false),
    varint(field.byteFallback, training.byteFallback),
    text(field.requiredChars, training.requiredChars),
    varint(field.unkId, training.unkId),
    varint(field.bosId, training.bosId),
    varint(field.eosId, training.eosId),
    varint(field.padId, training.padId),
    text(field.unkSurface, training.unkSurface),
    text(field.unkPiece, training.unkPiece),
    text(field.bosPiece, training.bosPiece),
    text(field.eosPiece, training.eosPiece),
    text(field.padPiece, training.padPiece),
    varint(field.trainExtremelyLargeCorpus, false),
    varint(field.enableDifferentialPrivacy, false),
    float(field.differentialPrivacyNoiseLevel, 0),
    varint(field.differentialPrivacyClippingThreshold, 0),
  ];
}

function normalizerSpec(training: PieceTraining, charsmap: Uint8Array): ProtobufField[] {
  const field = NORMALIZER_FIELD;
  const { normalizationRuleTsv: tsv } = training;
  return [
    text(field.name, tsv === "" ? training.normalizationRuleName : "user_defined"),
    { number: field.precompiledCharsmap, wire: "bytes", value: charsmap },
    varint(field.addDummyPrefix, training.addDummyPrefix),
    varint(field.removeExtraWhitespaces, training.removeExtraWhitespaces),
    text(field.ruleTsv, tsv),
    // Behind the schema's own fields, which readers that do not know it skip.
    ...(training.literalMarks ? [varint(field.literalMarks, true)] : []),
  ];
}

/** The SentencePiece model of trained pieces, with the options that made it, as `spm_train` writes it. */
export function trainedModel(
  pieces: PieceList,
  training: PieceTraining,
  options: { readonly charsmap: Uint8Array; readonly record: TrainingRecord },
): SentencePieceModel {
  return {
    pieces,
    trainer: trainerSpec(training, options.record, pieces.types.length),
    normalizer: normalizerSpec(training, options.charsmap),
    denormalizer: [],
    rest: [],
  };
}
