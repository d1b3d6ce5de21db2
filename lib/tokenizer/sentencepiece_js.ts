/**
 * SentencePiece models that are not BPE (unigram, word, char), and those with denormalization rules,
 * through SentencePiece itself compiled to WebAssembly (npm sentencepiece-js). It is loaded only when
 * such a model is opened; decoding is our own where no denormalization rules are applied.
 *
 * @module
 */

import { FormatError, LlameroError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { bytesField, NORMALIZER_FIELD } from "../formats/sentencepiece_model.ts";
import { pieceText } from "../formats/piece_list.ts";
import { surfaceOf } from "./surface.ts";
import type { CompiledTokenizer, StreamEncoder } from "./compiled.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { characterLength, decodeIds, streamDecoder } from "./detokenizer.ts";
import type { EncodedBatch } from "./text_engine.ts";
import type { DecodeOptions, EncodeOptions, StreamDecoder, TokenizerKind } from "./tokenizer.ts";

/** The part of the package that is used; it comes without types. */
interface Processor {
  load(path: string): Promise<void>;
  encodeIds(text: string): number[];
  decodeIds(ids: number[]): string;
}

/** Opens a model that our own encoder does not handle. @throws {FormatError} */
export async function openForeignSentencePiece(
  definition: TokenizerDefinition,
): Promise<CompiledTokenizer> {
  const { file } = definition;
  const refuse = (what: string, cause: unknown): FormatError =>
    new FormatError(`Cannot use the tokenizer ${quoted(file)}: it is no BPE model, and ${what}`, {
      file,
      cause,
    });
  let processor: Processor;
  try {
    const { default: module } = await import("sentencepiece-js");
    processor = new module.SentencePieceProcessor();
  } catch (cause) {
    throw refuse("the npm package sentencepiece-js, which encodes others, is not there", cause);
  }
  try {
    await processor.load(file);
  } catch (cause) {
    throw refuse("sentencepiece-js refuses it", cause);
  }
  return new ForeignTokenizer(definition, processor);
}

class ForeignTokenizer implements CompiledTokenizer {
  readonly definition: TokenizerDefinition;
  readonly kind: TokenizerKind = "sentencepiece";
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly endIds: readonly number[];
  readonly addBos: boolean;
  readonly #processor: Processor;
  readonly #names: RegExp | undefined;

  constructor(definition: TokenizerDefinition, processor: Processor) {
    this.definition = definition;
    this.vocabSize = definition.vocabSize;
    this.bosId = definition.bosId;
    this.eosId = definition.eosId;
    this.padId = definition.padId;
    this.endIds = definition.endIds;
    this.addBos = definition.addBos;
    this.#processor = processor;
    const names = definition.description.specials.map(({ name }) => name)
      .sort((a, b) => b.length - a.length)
      .map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.#names = names.length === 0 ? undefined : new RegExp(`(${names.join("|")})`);
  }

  #text(text: string | Uint8Array, options: EncodeOptions): string {
    if (typeof text === "string") return text.toWellFormed();
    if (options.invalid !== "replace") checkUtf8(text);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(text);
  }

  encode(text: string | Uint8Array, options: EncodeOptions = {}): Uint32Array {
    const ids: number[] = [];
    if (options.bos === true && this.bosId !== undefined) ids.push(this.bosId);
    const whole = this.#text(text, options);
    const parts = options.special === undefined || options.special === "text" ||
        this.#names === undefined
      ? [whole]
      : whole.split(this.#names);
    parts.forEach((part, i) => {
      // Every other part is a name.
      const special = i % 2 === 0
        ? undefined
        : this.definition.description.specials.find(({ name }) => name === part);
      if (special === undefined) {
        // Not as arguments of one call: a file has more ids than a call may have.
        for (const id of this.#processor.encodeIds(part)) ids.push(id);
        return;
      }
      if (options.special === "refuse") {
        throw new LlameroError(
          `Cannot encode the text: it has the special token ${quoted(part)}, and none was wanted`,
        );
      }
      ids.push(special.id);
    });
    if (options.eos === true && this.eosId !== undefined) ids.push(this.eosId);
    return Uint32Array.from(ids);
  }

  encodeBatch(
    { bytes, ends }: { readonly bytes: Uint8Array; readonly ends: Uint32Array },
    options: EncodeOptions = {},
  ): EncodedBatch {
    if (options.invalid !== "replace") checkUtf8(bytes);
    const plain = { ...options, bos: false, eos: false };
    const parts = Array.from(
      ends,
      (end, i) => this.encode(bytes.subarray(ends[i - 1] ?? 0, end), plain),
    );
    const ids = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      ids.set(part, at);
      at += part.length;
    }
    return { ids, counts: Uint32Array.from(parts, (part) => part.length) };
  }

  /** Only the whole text tells a unigram model where it is cut: nothing comes before the end. */
  encoder(options: EncodeOptions = {}): StreamEncoder {
    let parts: Uint8Array[] = [];
    const encoder = new TextEncoder();
    return {
      place: undefined,
      push: (part: string | Uint8Array): Uint32Array => {
        parts.push(typeof part === "string" ? encoder.encode(part) : part.slice());
        return new Uint32Array();
      },
      end: (): Uint32Array => {
        const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
          all.set(part, at);
          at += part.length;
        }
        parts = [];
        return this.encode(all, options);
      },
    };
  }

  /** Whether text is changed after decoding. */
  #denormalizes(): boolean {
    const rules = this.definition.model?.denormalizer ?? [];
    return (bytesField(rules, NORMALIZER_FIELD.precompiledCharsmap)?.length ?? 0) > 0;
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    if (!this.#denormalizes()) return decodeIds(this.definition.decode, ids, options);
    const { special, kinds } = this.definition.decode;
    const list = Array.from(ids).filter((id) => options.skipSpecial !== true || !special.has(id));
    const bad = list.find((id) => !(id >= 0 && id < kinds.length));
    if (bad !== undefined) throw new RangeError(`Cannot decode id ${bad}: it is no id`);
    return this.#processor.decodeIds(list);
  }

  decoder(options: DecodeOptions = {}): StreamDecoder {
    if (!this.#denormalizes()) return streamDecoder(this.definition.decode, options);
    let ids: number[] = [];
    return {
      push: (id: number): string => {
        ids.push(id);
        return "";
      },
      end: (): string => {
        const text = this.decode(ids, options);
        ids = [];
        return text;
      },
    };
  }

  surface(id: number): Uint8Array {
    return surfaceOf(this.definition.decode, id);
  }

  piece(id: number): string {
    if (id >= 0 && id < this.vocabSize) return pieceText(this.definition.pieces, id);
    throw new RangeError(`Cannot show piece ${id}: the vocabulary has ${this.vocabSize} ids`);
  }

  close(): void {
    // The package frees nothing; its memory goes with the tokenizer.
  }
}

function checkUtf8(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at);
    if (length <= 0) {
      throw new FormatError(`Cannot encode the text: byte ${at} is not UTF-8`, {
        offset: at,
        hint: "replace what is malformed with --invalid replace",
      });
    }
    at += length;
  }
}
