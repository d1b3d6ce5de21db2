/**
 * Pieces that are there before any training: unknown, begin and end, control and user-defined symbols,
 * bytes (google/sentencepiece, trainer_interface.cc, `InitMetaPieces`).
 *
 * @module
 */

import { quoted } from "../../base/quoted.ts";
import { PIECE_TYPE } from "../../formats/piece_list.ts";
import { type PieceTraining, trainingRefusal } from "./options.ts";

/** A piece with its id. */
export interface MetaPiece {
  /** Place in the vocabulary. */
  readonly id: number;
  /** How the piece is written. */
  readonly text: string;
  /** A code of {@linkcode PIECE_TYPE}. */
  readonly type: number;
}

/** The name of a byte's piece, such as `<0x0A>`. */
export function byteName(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

/** Takes ids for pieces, and refuses what is there already. */
class MetaPieces {
  readonly byId = new Map<number, { text: string; type: number }>();
  readonly #training: PieceTraining;
  readonly #symbols = new Set<string>();
  #next = 0;

  constructor(training: PieceTraining) {
    this.#training = training;
  }

  /** A piece whose id is an option; -1 leaves it out. */
  reserve(id: number, text: string): void {
    if (id < 0) return;
    if (text === "") throw trainingRefusal(`the piece of id ${id} is empty`);
    const other = this.byId.get(id);
    if (other !== undefined) {
      throw trainingRefusal(`${quoted(other.text)} and ${quoted(text)} both have the id ${id}`);
    }
    for (const [taken, piece] of this.byId) {
      if (piece.text !== text) continue;
      throw trainingRefusal(`the ids ${taken} and ${id} both have the piece ${quoted(text)}`);
    }
    const type = text === this.#training.unkPiece ? PIECE_TYPE.unknown : PIECE_TYPE.control;
    this.byId.set(id, { text, type });
  }

  /** A symbol that takes the first free id, or gives a reserved piece its type. */
  add(text: string, type: number): void {
    if (text === "") throw trainingRefusal("a symbol is empty");
    if (!text.isWellFormed()) {
      throw trainingRefusal(`the symbol ${quoted(text)} is no Unicode text`);
    }
    if (this.#symbols.has(text)) {
      throw trainingRefusal(`the symbol ${quoted(text)} is defined twice`);
    }
    if (text === this.#training.unkPiece) {
      throw trainingRefusal(
        `the unknown piece ${quoted(text)} is also a control or user-defined symbol`,
      );
    }
    this.#symbols.add(text);
    const reserved = this.byId.values().find((piece) => piece.text === text);
    if (reserved !== undefined) {
      reserved.type = type;
      return;
    }
    while (this.byId.has(this.#next)) this.#next++;
    this.byId.set(this.#next, { text, type });
  }
}

/** The pieces of a training in the order of their ids. @throws {ConfigError} If they clash. */
export function metaPieces(training: PieceTraining): MetaPiece[] {
  const pieces = new MetaPieces(training);
  if (training.unkId < 0) {
    throw trainingRefusal(`${quoted(training.unkPiece)} has the id -1, and it is needed`);
  }
  pieces.reserve(training.unkId, training.unkPiece);
  pieces.reserve(training.bosId, training.bosPiece);
  pieces.reserve(training.eosId, training.eosPiece);
  pieces.reserve(training.padId, training.padPiece);
  for (const symbol of training.controlSymbols) pieces.add(symbol, PIECE_TYPE.control);
  for (const symbol of training.userDefinedSymbols) pieces.add(symbol, PIECE_TYPE.userDefined);
  if (training.byteFallback) {
    for (let byte = 0; byte < 256; byte++) pieces.add(byteName(byte), PIECE_TYPE.byte);
  }
  return [...pieces.byId].map(([id, piece]) => ({ id, ...piece })).sort((a, b) => a.id - b.id);
}
