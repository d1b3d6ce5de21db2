/**
 * SentencePiece BPE models as tokenizers (reference: google/sentencepiece).
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import {
  PIECE_TYPE,
  pieceBytes,
  pieceCount,
  type PieceList,
  pieceText,
} from "../formats/piece_list.ts";
import {
  booleanField,
  bytesField,
  integerField,
  MODEL_TYPE,
  NORMALIZER_FIELD,
  type SentencePieceModel,
  stringField,
  TRAINER_FIELD,
} from "../formats/sentencepiece_model.ts";
import { byteOfPiece, pieceDecodeTable } from "./decode_table.ts";
import { endIds, type TokenizerDefinition } from "./definition.ts";
import { FLAG, NO_TEXTS, NONE, PREFIX, ranksOfScores, type SpecialToken } from "./description.ts";

/** How a SentencePiece model treats text. */
export interface SentencePieceRules {
  /** Normalization rules, or empty. */
  readonly charsmap: Uint8Array;
  /** Name of the rules, for people. */
  readonly rulesName: string;
  /** Whether a space is put in front of (or, as suffix, behind) the text. */
  readonly dummyPrefix: boolean;
  /** Whether runs of spaces become one, and those at the ends none. */
  readonly removeExtra: boolean;
  /** Whether spaces are written as U+2581. */
  readonly escape: boolean;
  /** Whether U+2581 in text is a character of its own, not a space. */
  readonly literalMarks?: boolean;
  /** Whether spaces stand at the ends of words. */
  readonly suffix: boolean;
  /** Whether unknown characters become bytes. */
  readonly byteFallback: boolean;
  /** What the unknown piece decodes to. */
  readonly unkSurface: string;
}

/** The rules of a model file. */
function rulesOfModel(model: SentencePieceModel): SentencePieceRules {
  const { trainer, normalizer } = model;
  return {
    charsmap: bytesField(normalizer, NORMALIZER_FIELD.precompiledCharsmap) ?? new Uint8Array(),
    rulesName: stringField(normalizer, NORMALIZER_FIELD.name) ?? "",
    dummyPrefix: booleanField(normalizer, NORMALIZER_FIELD.addDummyPrefix) ?? true,
    removeExtra: booleanField(normalizer, NORMALIZER_FIELD.removeExtraWhitespaces) ?? true,
    escape: booleanField(normalizer, NORMALIZER_FIELD.escapeWhitespaces) ?? true,
    literalMarks: booleanField(normalizer, NORMALIZER_FIELD.literalMarks) ?? false,
    suffix: booleanField(trainer, TRAINER_FIELD.treatWhitespaceAsSuffix) ?? false,
    byteFallback: booleanField(trainer, TRAINER_FIELD.byteFallback) ?? false,
    unkSurface: stringField(trainer, TRAINER_FIELD.unkSurface) ?? " \u2047 ",
  };
}

/** Whether our own encoder handles a model: BPE without denormalization rules. */
export function isOwnKind(model: SentencePieceModel): boolean {
  const type = integerField(model.trainer, TRAINER_FIELD.modelType) ?? MODEL_TYPE.unigram;
  const rules = bytesField(model.denormalizer, NORMALIZER_FIELD.precompiledCharsmap);
  return type === MODEL_TYPE.bpe && (rules === undefined || rules.length === 0);
}

/** The ids of the pieces that stand for the 256 bytes, {@linkcode NONE} where there is none. */
export function byteIds(pieces: PieceList): Uint32Array {
  const ids = new Uint32Array(256).fill(NONE);
  for (let id = 0; id < pieceCount(pieces); id++) {
    if (pieces.types[id] !== PIECE_TYPE.byte) continue;
    const byte = byteOfPiece(pieceBytes(pieces, id));
    if (byte >= 0) ids[byte] = id;
  }
  return ids;
}

/** The control pieces: tokens that text can name but never become. */
function controlTokens(pieces: PieceList): SpecialToken[] {
  const found: SpecialToken[] = [];
  for (let id = 0; id < pieceCount(pieces); id++) {
    if (pieces.types[id] !== PIECE_TYPE.control) continue;
    const name = pieceText(pieces, id);
    if (name !== "") found.push({ name, id, flags: 0 });
  }
  return found;
}

/** Ids of the pieces with a meaning. */
export interface MeaningfulIds {
  /** Begin of text. */
  readonly bosId: number | undefined;
  /** End of text. */
  readonly eosId: number | undefined;
  /** What fills up batches. */
  readonly padId: number | undefined;
}

function refuse(file: string, what: string): FormatError {
  return new FormatError(`Cannot use the tokenizer ${quoted(file)}: ${what}`, { file });
}

/** A definition from pieces, rules and ids: for model files and for GGUF. */
export function sentencePieceDefinition(
  pieces: PieceList,
  rules: SentencePieceRules,
  options: { file: string; ids: MeaningfulIds; addBos?: boolean; addEos?: boolean },
): TokenizerDefinition {
  const { file, ids } = options;
  const unknown = pieces.types.indexOf(PIECE_TYPE.unknown);
  if (unknown < 0) throw refuse(file, "it has no unknown piece, and one is needed");
  const bytes = byteIds(pieces);
  const missing = bytes.indexOf(NONE);
  if (rules.byteFallback && missing >= 0) {
    const name = `<0x${missing.toString(16).toUpperCase().padStart(2, "0")}>`;
    throw refuse(file, `byte fallback is on, and the byte piece ${name} is not there`);
  }
  const specials = controlTokens(pieces);
  const flags = FLAG.fuseUnknown |
    (rules.byteFallback ? FLAG.byteFallback : 0) |
    (rules.escape ? FLAG.marks : 0) |
    (rules.literalMarks === true ? FLAG.literalMarks : 0) |
    (rules.removeExtra ? FLAG.removeExtra : 0) |
    (rules.suffix && rules.dummyPrefix ? FLAG.suffix : 0);
  return {
    kind: "sentencepiece",
    file,
    vocabSize: pieceCount(pieces),
    description: {
      family: "symbols",
      flags,
      prefix: rules.dummyPrefix && !rules.suffix ? PREFIX.always : PREFIX.none,
      pieces,
      ranks: ranksOfScores(pieces.scores),
      unknown,
      byteIds: bytes,
      merges: NO_TEXTS,
      specials,
      charsmap: rules.charsmap,
    },
    decode: pieceDecodeTable(pieces, {
      marks: rules.escape,
      unknownSurface: rules.unkSurface,
      malformed: "each",
      strip: rules.removeExtra ? "all" : rules.dummyPrefix ? "dummy" : "none",
      special: new Set(specials.map(({ id }) => id)),
    }),
    pieces,
    replaceBytes: true,
    normalization: describeRules(rules),
    ...ids,
    unkId: unknown,
    endIds: endIds(ids.eosId, specials),
    addBos: options.addBos ?? ids.bosId !== undefined,
    addEos: options.addEos ?? false,
  };
}

function describeRules(rules: SentencePieceRules): string {
  const parts = [
    rules.charsmap.length === 0 ? "identity" : rules.rulesName || "own rules",
    rules.dummyPrefix ? `dummy ${rules.suffix ? "suffix" : "prefix"}` : undefined,
    rules.removeExtra ? "extra whitespace removed" : undefined,
    rules.byteFallback ? "byte fallback" : undefined,
    rules.literalMarks === true ? "U+2581 kept apart from spaces" : undefined,
  ];
  return parts.filter((part) => part !== undefined).join(", ");
}

/** The definition of a BPE model file. @throws {FormatError} If the model is not consistent. */
export function defineSentencePiece(model: SentencePieceModel, file: string): TokenizerDefinition {
  const { pieces, trainer } = model;
  const controls = new Map(controlTokens(pieces).map(({ name, id }) => [name, id]));
  const named = (field: number, fallback: string): number | undefined =>
    controls.get(stringField(trainer, field) ?? fallback);
  const definition = sentencePieceDefinition(pieces, rulesOfModel(model), {
    file,
    ids: {
      bosId: named(TRAINER_FIELD.bosPiece, "<s>"),
      eosId: named(TRAINER_FIELD.eosPiece, "</s>"),
      padId: named(TRAINER_FIELD.padPiece, "<pad>"),
    },
  });
  return { ...definition, model };
}
