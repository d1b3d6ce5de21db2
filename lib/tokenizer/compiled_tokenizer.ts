/**
 * What every opened tokenizer does, and the part of it that its definition alone decides.
 *
 * @module
 */

import { pieceText } from "../formats/piece_list.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { decodeIds, streamDecoder } from "./detokenizer.ts";
import { encodeLines, type IdLines, type LineOptions } from "./id_lines.ts";
import { surfaceOf } from "./surface.ts";
import type { EncodedBatch } from "./text_engine.ts";
import type {
  DecodeOptions,
  EncodeOptions,
  StreamDecoder,
  Tokenizer,
  TokenizerKind,
} from "./tokenizer.ts";

/** Turns text that comes in parts into ids; together they are what encoding the whole gives. */
export interface StreamEncoder {
  /** The ids that this part makes certain. @throws {FormatError} For bytes that are not UTF-8. */
  push(part: string | Uint8Array): Uint32Array;
  /** The ids of what was held back; afterwards the encoder is as new. */
  end(): Uint32Array;
  /** Where an encoder can go on: fed with the bytes from there, it gives the ids that are to come. */
  readonly place: StreamPlace | undefined;
}

/** How far a stream of text is encoded. */
export interface StreamPlace {
  /** Bytes of the text whose ids were given. */
  readonly byte: number;
  /** What the kernels need to know of them. */
  readonly state: number;
}

/** Texts side by side: text `i` ends at `ends[i]` of `bytes`, where text `i + 1` begins. */
export interface TextBatch {
  /** All texts as UTF-8. */
  readonly bytes: Uint8Array;
  /** Where each ends. */
  readonly ends: Uint32Array;
}

/** A tokenizer with what only large amounts of text need. */
export interface CompiledTokenizer extends Tokenizer {
  /** What the file says. */
  readonly definition: TokenizerDefinition;
  /** Encodes many texts at once, on all threads. Begin and end tokens are left to the caller. */
  encodeBatch(texts: TextBatch, options?: EncodeOptions): EncodedBatch;
  /**
   * Encodes each line of a text for itself, on all threads, and writes the ids as they are printed; the
   * result is valid until the next call.
   */
  encodeLines(text: Uint8Array, options?: LineOptions): IdLines;
  /** An encoder for text that comes in parts, from a place where another one was. */
  encoder(options?: EncodeOptions & { readonly from?: StreamPlace | undefined }): StreamEncoder;
  /** Frees its tables. */
  close(): void;
}

/** A tokenizer whose special ids, pieces and decoding are its definition's; how it encodes is left open. */
export abstract class DefinedTokenizer implements CompiledTokenizer {
  readonly definition: TokenizerDefinition;
  readonly kind: TokenizerKind;
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly endIds: readonly number[];
  readonly addBos: boolean;

  /** Takes over what the definition says. */
  constructor(definition: TokenizerDefinition) {
    this.definition = definition;
    this.kind = definition.kind;
    this.vocabSize = definition.vocabSize;
    this.bosId = definition.bosId;
    this.eosId = definition.eosId;
    this.padId = definition.padId;
    this.endIds = definition.endIds;
    this.addBos = definition.addBos;
  }

  abstract encode(text: string | Uint8Array, options?: EncodeOptions): Uint32Array;
  abstract encodeBatch(texts: TextBatch, options?: EncodeOptions): EncodedBatch;
  abstract encoder(
    options?: EncodeOptions & { readonly from?: StreamPlace | undefined },
  ): StreamEncoder;
  abstract close(): void;

  encodeLines(text: Uint8Array, options: LineOptions = {}): IdLines {
    return encodeLines(this, { ...options, text });
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    return decodeIds(this.definition.decode, ids, options);
  }

  decoder(options: DecodeOptions = {}): StreamDecoder {
    return streamDecoder(this.definition.decode, options);
  }

  surface(id: number): Uint8Array {
    return surfaceOf(this.definition.decode, id);
  }

  piece(id: number): string {
    if (id >= 0 && id < this.vocabSize) return pieceText(this.definition.pieces, id);
    throw new RangeError(`Cannot show piece ${id}: the vocabulary has ${this.vocabSize} ids`);
  }
}
