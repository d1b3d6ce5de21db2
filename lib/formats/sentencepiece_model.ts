/**
 * SentencePiece `.model` files: a serialized `ModelProto` (google/sentencepiece,
 * src/sentencepiece_model.proto). Unknown fields are kept, so that reading and writing a file gives
 * the same bytes.
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
} from "./piece_list.ts";
import {
  type ProtobufField,
  ProtobufReader,
  ProtobufWriter,
  readProtobuf,
  type RefuseProtobuf,
} from "./protobuf.ts";

/** Field numbers of `ModelProto`. */
const MODEL = { pieces: 1, trainer: 2, normalizer: 3, selfTest: 4, denormalizer: 5 } as const;
/** Field numbers of `ModelProto.SentencePiece`. */
const PIECE = { text: 1, score: 2, type: 3 } as const;

/** Field numbers of `TrainerSpec` that readers of a model look at. */
export const TRAINER_FIELD = {
  modelType: 3,
  vocabSize: 4,
  treatWhitespaceAsSuffix: 24,
  byteFallback: 35,
  unkId: 40,
  bosId: 41,
  eosId: 42,
  padId: 43,
  unkSurface: 44,
  unkPiece: 45,
  bosPiece: 46,
  eosPiece: 47,
  padPiece: 48,
} as const;

/** Field numbers of `NormalizerSpec`. */
export const NORMALIZER_FIELD = {
  name: 1,
  precompiledCharsmap: 2,
  addDummyPrefix: 3,
  removeExtraWhitespaces: 4,
  escapeWhitespaces: 5,
  ruleTsv: 6,
  /**
   * Ours, among the schema's extensions, which other readers skip: U+2581 in text is a character and
   * not a space, so that every text comes back from its ids.
   */
  literalMarks: 2581,
} as const;

/** Codes of `TrainerSpec.ModelType`. */
export const MODEL_TYPE = { unigram: 1, bpe: 2, word: 3, char: 4 } as const;

/** A SentencePiece model as it stands in its file. */
export interface SentencePieceModel {
  /** The vocabulary in id order. */
  readonly pieces: PieceList;
  /** Fields of `trainer_spec` in file order; absent ones have the defaults of the schema. */
  readonly trainer: readonly ProtobufField[];
  /** Fields of `normalizer_spec`. */
  readonly normalizer: readonly ProtobufField[];
  /** Fields of `denormalizer_spec`, empty where there is none. */
  readonly denormalizer: readonly ProtobufField[];
  /** Everything else of the file (`self_test_data`, extensions) in file order. */
  readonly rest: readonly ProtobufField[];
}

/** The last value of a boolean field, or `undefined`. */
export function booleanField(
  fields: readonly ProtobufField[],
  number: number,
): boolean | undefined {
  const field = fields.findLast((f) => f.number === number && f.wire === "varint");
  return field === undefined ? undefined : field.value !== 0n;
}

/** The last value of an int32 or enumeration field, or `undefined`. */
export function integerField(
  fields: readonly ProtobufField[],
  number: number,
): number | undefined {
  const field = fields.findLast((f) => f.number === number && f.wire === "varint");
  return field === undefined ? undefined : Number(BigInt.asIntN(32, field.value as bigint));
}

/** The last value of a bytes field, or `undefined`. */
export function bytesField(
  fields: readonly ProtobufField[],
  number: number,
): Uint8Array | undefined {
  const field = fields.findLast((f) => f.number === number && f.wire === "bytes");
  return field === undefined ? undefined : field.value as Uint8Array;
}

/** The last value of a string field, or `undefined`. */
export function stringField(
  fields: readonly ProtobufField[],
  number: number,
): string | undefined {
  const bytes = bytesField(fields, number);
  if (bytes === undefined) return undefined;
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** Parses a `.model` file's bytes; `file` names it in errors. Throws {@linkcode FormatError}. */
export function parseSentencePieceModel(bytes: Uint8Array, file: string): SentencePieceModel {
  const refuse: RefuseProtobuf = (what, offset) =>
    new FormatError(`Cannot read ${quoted(file)} as a SentencePiece model: ${what}`, {
      file,
      offset,
      hint: "a SentencePiece model is a protobuf file, most often named tokenizer.model",
    });
  const reader = new ProtobufReader(bytes, refuse);
  const pieces = new PieceListBuilder();
  const specs: Record<"trainer" | "normalizer" | "denormalizer", ProtobufField[]> = {
    trainer: [],
    normalizer: [],
    denormalizer: [],
  };
  const rest: ProtobufField[] = [];
  while (reader.next()) {
    const { number, start, end } = reader;
    const spec = number === MODEL.trainer
      ? specs.trainer
      : number === MODEL.normalizer
      ? specs.normalizer
      : number === MODEL.denormalizer
      ? specs.denormalizer
      : undefined;
    if ((spec !== undefined || number === MODEL.pieces) && reader.wire !== "bytes") {
      throw refuse(`field ${number} is no message`, start);
    }
    if (number === MODEL.pieces) readPiece(bytes, { start, end, refuse, pieces });
    else if (spec === undefined) rest.push(reader.field());
    // A message field that comes twice is merged, as protobuf says.
    else spec.push(...readProtobuf(bytes, { refuse, start, end }));
  }
  if (pieces.count === 0) throw refuse("it has no pieces", 0);
  return { pieces: pieces.finish(), ...specs, rest };
}

/** A piece as its message says, the end of its text not above its start where it has none. */
interface FoundPiece {
  start: number;
  end: number;
  score: number;
  type: number;
}

/** A tag and, for the text, its length in one byte. */
const TEXT_HEAD = 2;
const SCORE_BYTES = 5;
const TYPE_BYTES = 2;
const word = new DataView(new ArrayBuffer(4));

/** The piece of a message that is written as `spm_train` does: text, score, and mostly no type. */
function usualPiece(bytes: Uint8Array, at: { start: number; end: number }): FoundPiece | undefined {
  const start = at.start + TEXT_HEAD;
  const length = bytes[at.start + 1]!;
  const end = start + length;
  const rest = at.end - end - SCORE_BYTES;
  const typed = rest === TYPE_BYTES && bytes[end + SCORE_BYTES] === PIECE.type << 3 &&
    bytes[at.end - 1]! < 0x80;
  const usual = bytes[at.start] === (PIECE.text << 3 | 2) && length < 0x80 &&
    bytes[end] === (PIECE.score << 3 | 5) && (rest === 0 || typed);
  if (!usual) return undefined;
  for (let i = 0; i < 4; i++) word.setUint8(i, bytes[end + 1 + i]!);
  const type = typed ? bytes[at.end - 1]! : PIECE_TYPE.normal;
  return { start, end, score: word.getFloat32(0, true), type };
}

function pieceOfFields(reader: ProtobufReader): FoundPiece {
  const found: FoundPiece = { start: 0, end: 0, score: 0, type: PIECE_TYPE.normal };
  while (reader.next()) {
    if (reader.number === PIECE.text && reader.wire === "bytes") {
      found.start = reader.start;
      found.end = reader.end;
    } else if (reader.number === PIECE.score && reader.wire === "fixed32") {
      found.score = reader.float();
    } else if (reader.number === PIECE.type && reader.wire === "varint") {
      found.type = reader.value;
    }
  }
  return found;
}

function readPiece(
  bytes: Uint8Array,
  at: { start: number; end: number; refuse: RefuseProtobuf; pieces: PieceListBuilder },
): void {
  const found = usualPiece(bytes, at) ??
    pieceOfFields(new ProtobufReader(bytes, at.refuse, at.start, at.end));
  const id = at.pieces.count;
  if (found.end === found.start) throw at.refuse(`piece ${id} is empty`, at.start);
  if (Number.isNaN(found.score)) throw at.refuse(`piece ${id} has the score NaN`, at.start);
  if (found.type < 1 || found.type > 6) {
    throw at.refuse(`piece ${id} has the type ${found.type}, wanted 1 to 6`, at.start);
  }
  at.pieces.add(bytes, found);
}

/** Writes a model as a `.model` file's bytes, field by field as `spm_train` does. */
export function formatSentencePieceModel(model: SentencePieceModel): Uint8Array {
  const { pieces } = model;
  const writer = new ProtobufWriter(pieces.bytes.length + pieceCount(pieces) * 12);
  for (let id = 0; id < pieceCount(pieces); id++) {
    const piece = new ProtobufWriter(64);
    piece.bytes(PIECE.text, pieceBytes(pieces, id));
    piece.float(PIECE.score, pieces.scores[id]!);
    const type = pieces.types[id]!;
    if (type !== PIECE_TYPE.normal) piece.varint(PIECE.type, type);
    writer.bytes(MODEL.pieces, piece.finish());
  }
  const specs = [
    [MODEL.trainer, model.trainer],
    [MODEL.normalizer, model.normalizer],
    [MODEL.denormalizer, model.denormalizer],
  ] as const;
  const rest: ProtobufField[] = [...model.rest];
  for (const [number, fields] of specs) {
    if (fields.length === 0) continue;
    const message = new ProtobufWriter();
    for (const field of fields) message.field(field);
    rest.push({ number, wire: "bytes", value: message.finish() });
  }
  // Stable: fields of one number keep their order, and the file has the fields in numbered order.
  rest.sort((a, b) => a.number - b.number);
  for (const field of rest) writer.field(field);
  return writer.finish();
}
