/**
 * Opening a tokenizer, whatever kind of file it stands in.
 *
 * @module
 */

import { statSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quoted } from "../base/quoted.ts";
import { InputFile } from "../formats/input_file.ts";
import { parseLlama2cTokenizer } from "../formats/llama2c_tokenizer.ts";
import {
  PIECE_TYPE,
  pieceBytes,
  pieceCount,
  type PieceList,
  pieceText,
} from "../formats/piece_list.ts";
import {
  booleanField,
  NORMALIZER_FIELD,
  parseSentencePieceModel,
} from "../formats/sentencepiece_model.ts";
import { decodeIds, type DecodeTable, streamDecoder, SURFACE } from "./detokenizer.ts";
import { PlainBpe } from "./plain_bpe.ts";
import type { EncodeOptions, Tokenizer } from "./tokenizer.ts";

/** How to open a tokenizer. */
export interface OpenTokenizerOptions {
  /** Vocabulary size of the model that it is for; another size is refused. */
  readonly vocabSize?: number | undefined;
}

const NAMES = ["tokenizer.model", "tokenizer.json", "tokenizer.bin"];

/** Opens a tokenizer file, or the tokenizer of a folder. @throws {FormatError} If it is none. */
export async function openTokenizer(
  path: string,
  options: OpenTokenizerOptions = {},
): Promise<Tokenizer> {
  const file = await Promise.resolve(findFile(path));
  const bytes = readWhole(file);
  const tokenizer = file.endsWith(".bin")
    ? symbolTokenizer("llama2c", parseLlama2cTokenizer(bytes, file), true)
    : sentencePiece(bytes, file);
  if (options.vocabSize !== undefined && options.vocabSize !== tokenizer.vocabSize) {
    throw new FormatError(
      `Cannot use the tokenizer ${quoted(file)}: it has ${tokenizer.vocabSize} ids, ` +
        `and the model wants ${options.vocabSize}`,
      { file, hint: "give the tokenizer that the model was trained with" },
    );
  }
  return tokenizer;
}

function findFile(path: string): string {
  try {
    if (!statSync(path).isDirectory()) return path;
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  const name = NAMES.find((name) =>
    statSync(join(path, name), { throwIfNoEntry: false })?.isFile() === true
  );
  if (name !== undefined) return join(path, name);
  throw new FormatError(
    `Cannot open ${quoted(path)} as a tokenizer: the folder has none of ${NAMES.join(", ")}`,
    { file: path },
  );
}

function readWhole(path: string): Uint8Array {
  using file = InputFile.open(path);
  return file.read(0, file.size);
}

function sentencePiece(bytes: Uint8Array, file: string): Tokenizer {
  const model = parseSentencePieceModel(bytes, file);
  const dummy = booleanField(model.normalizer, NORMALIZER_FIELD.addDummyPrefix, true);
  return symbolTokenizer("sentencepiece", model.pieces, dummy);
}

function symbolTokenizer(
  kind: "sentencepiece" | "llama2c",
  pieces: PieceList,
  dummyPrefix: boolean,
): Tokenizer {
  const bpe = new PlainBpe(pieces);
  const table = decodeTable(pieces, kind, dummyPrefix);
  const space = kind === "llama2c" ? " " : "\u2581";
  const controls = [...pieces.types.keys()].filter((id) => pieces.types[id] === PIECE_TYPE.control);
  const [bosId, eosId] = controls;
  const special = new Set(controls);
  return {
    kind,
    vocabSize: pieceCount(pieces),
    bosId,
    eosId,
    padId: undefined,
    endIds: eosId === undefined ? [] : [eosId],
    addBos: true,
    encode(text: string | Uint8Array, options: EncodeOptions = {}): Uint32Array {
      const string = typeof text === "string"
        ? text.toWellFormed()
        : new TextDecoder("utf-8", { ignoreBOM: true }).decode(text);
      const prefixed = dummyPrefix && string !== "" ? ` ${string}` : string;
      const ids = bpe.encode(prefixed.replaceAll(" ", space));
      if (options.bos === true && bosId !== undefined) ids.unshift(bosId);
      if (options.eos === true && eosId !== undefined) ids.push(eosId);
      return Uint32Array.from(ids);
    },
    decode: (ids, options = {}) =>
      decodeIds({ ...table, special }, ids, {
        ...options,
        skipSpecial: options.skipSpecial === true,
      }),
    decoder: (options = {}) =>
      streamDecoder({ ...table, special }, { skipSpecial: options.skipSpecial === true }),
    piece: (id) => pieceText(pieces, id),
  };
}

function decodeTable(
  pieces: PieceList,
  kind: "sentencepiece" | "llama2c",
  dummyPrefix: boolean,
): DecodeTable {
  const kinds = new Uint8Array(pieceCount(pieces));
  const offsets = new Uint32Array(kinds.length + 1);
  const parts: Uint8Array[] = [];
  for (let id = 0; id < kinds.length; id++) {
    const type = pieces.types[id];
    const text = pieceText(pieces, id).replaceAll("\u2581", " ");
    let bytes = new TextEncoder().encode(text);
    if (type === PIECE_TYPE.byte) {
      kinds[id] = SURFACE.byte;
      bytes = Uint8Array.of(
        Number.parseInt(new TextDecoder().decode(pieceBytes(pieces, id).subarray(3, 5)), 16),
      );
    } else if (type === PIECE_TYPE.control) {
      kinds[id] = kind === "llama2c" && id === 1 ? SURFACE.begin : SURFACE.silent;
      bytes = new Uint8Array();
    } else {
      kinds[id] = text.startsWith(" ") ? SURFACE.spaced : SURFACE.text;
    }
    parts.push(bytes);
    offsets[id + 1] = offsets[id]! + bytes.length;
  }
  const bytes = new Uint8Array(offsets[kinds.length]!);
  parts.forEach((part, id) => bytes.set(part, offsets[id]));
  return {
    kinds,
    offsets,
    bytes,
    special: new Set(),
    malformed: "each",
    strip: dummyPrefix ? "dummy" : "none",
  };
}
