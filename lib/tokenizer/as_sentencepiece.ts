/**
 * A tokenizer as a SentencePiece model, whatever it was read from.
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
  PieceListBuilder,
  pieceText,
} from "../formats/piece_list.ts";
import type { ProtobufField } from "../formats/protobuf.ts";
import {
  MODEL_TYPE,
  NORMALIZER_FIELD,
  type SentencePieceModel,
  TRAINER_FIELD,
} from "../formats/sentencepiece_model.ts";
import { refuseBeyondPieces } from "./beyond_pieces.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { FLAG, NONE, PREFIX, SPECIAL_FLAG } from "./description.ts";
import { isMarks } from "./merge_list.ts";
import { describePreparation } from "./prepared.ts";
import { isOwnKind } from "./sentencepiece.ts";

/** Makes the error for a tokenizer that a format cannot hold. */
export function cannotHold(definition: TokenizerDefinition, target: string): FormatError {
  return new FormatError(
    `Cannot write the tokenizer ${quoted(definition.file)} as ${target}: ` +
      (definition.description.family === "bytes"
        ? "its bytes merge, and only merging characters can be written"
        : "its characters merge, and only merging bytes can be written"),
    { file: definition.file },
  );
}

/** What a SentencePiece model does that pieces and merges do not say, if there is such a thing. */
export function beyondMerges({ model, description }: TokenizerDefinition): string | undefined {
  if (model !== undefined && !isOwnKind(model)) return "it is no BPE model";
  return (description.flags & FLAG.suffix) === 0 ? undefined : "it puts a space behind the text";
}

/** Refuses to write as `target` what is done to text first. @throws {FormatError} */
export function refusePreparation(definition: TokenizerDefinition, target: string): void {
  const { file, preparation } = definition;
  if (preparation === undefined) return;
  const what = describePreparation(preparation);
  throw new FormatError(
    `Cannot write the tokenizer ${quoted(file)} as ${target}: it prepares text (${what})`,
    { file, hint: "keep its tokenizer.json, which says so" },
  );
}

/** Refuses to write as `target` what only a model file can hold. @throws {FormatError} */
export function refuseBeyondMerges(definition: TokenizerDefinition, target: string): void {
  const what = beyondMerges(definition);
  if (what !== undefined) throw refuse(definition, target, what);
}

function refuse({ file, kind }: TokenizerDefinition, target: string, what: string): FormatError {
  const name = kind === "huggingface" ? "tokenizer.json" : "tokenizer.model";
  return new FormatError(`Cannot write the tokenizer ${quoted(file)} as ${target}: ${what}`, {
    file,
    hint: `keep its ${name}, which says so`,
  });
}

/** The names that llama2.c writes with line breaks around. */
const CONTROL_NAMES: ReadonlyMap<number, string> = new Map([[1, "<s>"], [2, "</s>"]]);

/**
 * Scores from the place of each piece's first merge in a list; characters come after all merges. Runs of
 * spaces whose merges stand mixed have one score, as Llama 2's have.
 */
function scoresOfList({ description }: TokenizerDefinition): Float32Array {
  const { pieces, merges } = description;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const half = (i: number): string =>
    decoder.decode(merges.bytes.subarray(i === 0 ? 0 : merges.ends[i - 1], merges.ends[i]));
  const made = new Map<string, number>();
  let before = "";
  for (let i = 0; i < merges.ends.length; i += 2) {
    const text = half(i) + half(i + 1);
    const place = made.get(text);
    if (place === undefined) made.set(text, made.size);
    else if (isMarks(text) && text !== before) {
      for (const [other, later] of made) {
        if (later > place && isMarks(other)) made.set(other, place);
      }
    }
    before = text;
  }
  let last = made.size;
  return Float32Array.from({ length: pieceCount(pieces) }, (_, id) => {
    const place = made.get(pieceText(pieces, id));
    return place === undefined ? -(last++) : -place;
  });
}

/** Pieces as SentencePiece writes them: spaces as U+2581, control pieces by their names. */
export function sentencePieces(definition: TokenizerDefinition): PieceList {
  const { description, pieces, model } = definition;
  if (model !== undefined) return model.pieces;
  const listed = (description.flags & FLAG.list) !== 0;
  const scores = listed ? scoresOfList(definition) : pieces.scores;
  const found = new Set(
    description.specials.flatMap(({ id, flags }) =>
      (flags & SPECIAL_FLAG.always) === 0 ? [] : [id]
    ),
  );
  const builder = new PieceListBuilder();
  for (let id = 0; id < pieceCount(pieces); id++) {
    const type = id === definition.unkId
      ? PIECE_TYPE.unknown
      : found.has(id)
      ? PIECE_TYPE.userDefined
      : pieces.types[id]!;
    const reserved = type !== PIECE_TYPE.normal && type !== PIECE_TYPE.userDefined;
    const score = reserved ? 0 : scores[id]!;
    if (definition.kind !== "llama2c") {
      builder.add(pieceBytes(pieces, id), { score, type });
    } else {
      const name = CONTROL_NAMES.get(id) ?? pieceText(pieces, id).replaceAll(" ", "\u2581");
      builder.addText(name, { score, type });
    }
  }
  return builder.finish();
}

const boolean = (number: number, value: boolean): ProtobufField => ({
  number,
  wire: "varint",
  value: value ? 1n : 0n,
});
const integer = (number: number, value: number): ProtobufField => ({
  number,
  wire: "varint",
  value: BigInt.asUintN(64, BigInt(value)),
});
const bytes = (number: number, value: Uint8Array): ProtobufField => ({
  number,
  wire: "bytes",
  value,
});
const text = (number: number, value: string): ProtobufField =>
  bytes(number, new TextEncoder().encode(value));

/** The model; one that was read from a model file is given back as it was. */
export function asSentencePiece(
  definition: TokenizerDefinition,
  target = "a SentencePiece model",
): SentencePieceModel {
  if (definition.model !== undefined) return definition.model;
  const { description } = definition;
  if (description.family !== "symbols") throw cannotHold(definition, target);
  refusePreparation(definition, target);
  const pieces = sentencePieces(definition);
  refuseBeyondPieces(definition, { pieces, target });
  const has = (flag: number): boolean => (description.flags & flag) !== 0;
  const ids = [
    [TRAINER_FIELD.unkId, definition.unkId],
    [TRAINER_FIELD.bosId, definition.bosId],
    [TRAINER_FIELD.eosId, definition.eosId],
    [TRAINER_FIELD.padId, definition.padId],
  ] as const;
  const names = [
    [TRAINER_FIELD.bosPiece, definition.bosId],
    [TRAINER_FIELD.eosPiece, definition.eosId],
    [TRAINER_FIELD.padPiece, definition.padId],
  ] as const;
  const named = names.flatMap(([number, id]) =>
    id === undefined ? [] : [text(number, pieceText(pieces, id))]
  );
  return {
    pieces,
    trainer: [
      integer(TRAINER_FIELD.modelType, MODEL_TYPE.bpe),
      integer(TRAINER_FIELD.vocabSize, pieceCount(pieces)),
      boolean(TRAINER_FIELD.treatWhitespaceAsSuffix, has(FLAG.suffix)),
      boolean(TRAINER_FIELD.byteFallback, has(FLAG.byteFallback)),
      ...ids.map(([number, id]) => integer(number, id ?? -1)),
      ...named,
    ],
    normalizer: [
      text(NORMALIZER_FIELD.name, description.charsmap.length === 0 ? "identity" : "user_defined"),
      ...(description.charsmap.length === 0
        ? []
        : [bytes(NORMALIZER_FIELD.precompiledCharsmap, description.charsmap)]),
      boolean(
        NORMALIZER_FIELD.addDummyPrefix,
        description.prefix !== PREFIX.none || has(FLAG.suffix),
      ),
      boolean(NORMALIZER_FIELD.removeExtraWhitespaces, has(FLAG.removeExtra)),
      boolean(NORMALIZER_FIELD.escapeWhitespaces, true),
    ],
    denormalizer: [],
    rest: [],
  };
}

/** What run.c does to no text, or does to every one, unlike a tokenizer; if there is such a thing. */
function beyondLlama2c(
  { prefix, charsmap }: TokenizerDefinition["description"],
): string | undefined {
  if (charsmap.length > 0) return "it normalizes text";
  return prefix === PREFIX.none ? "it puts no space before the text" : undefined;
}

/** The pieces as llama2.c's `tokenizer.bin` has them. @throws {FormatError} If it cannot hold them. */
export function asLlama2cPieces(definition: TokenizerDefinition): PieceList {
  if (definition.kind === "llama2c") return definition.pieces;
  if (definition.description.family !== "symbols") throw cannotHold(definition, "tokenizer.bin");
  const beyond = beyondMerges(definition) ?? beyondLlama2c(definition.description);
  if (beyond !== undefined) throw refuse(definition, "tokenizer.bin", beyond);
  const { pieces } = asSentencePiece(definition, "tokenizer.bin");
  const { file, description } = definition;
  const byteStart = description.byteIds[0];
  const inPlace = definition.unkId === 0 && definition.bosId === 1 && definition.eosId === 2 &&
    byteStart === 3 && description.byteIds.every((id, byte) => id === 3 + byte && id !== NONE);
  if (!inPlace) {
    throw new FormatError(
      `Cannot write the tokenizer ${quoted(file)} as tokenizer.bin: unknown, begin, end and the ` +
        "256 bytes must be the ids 0 to 258",
      { file },
    );
  }
  const builder = new PieceListBuilder();
  for (let id = 0; id < pieceCount(pieces); id++) {
    const name = pieceText(pieces, id).replaceAll("\u2581", " ");
    const score = pieces.scores[id]!;
    builder.addText(id === 1 || id === 2 ? `\n${name}\n` : name, {
      score,
      type: pieces.types[id]!,
    });
  }
  return builder.finish();
}
