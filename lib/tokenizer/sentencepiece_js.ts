/**
 * SentencePiece models that are not BPE (unigram, word, char), and those with denormalization rules,
 * through SentencePiece itself compiled to WebAssembly (npm sentencepiece-js). It is loaded only when
 * such a model is opened; decoding is our own where no denormalization rules are applied.
 *
 * @module
 */

import { FormatError, LlameroError } from "../base/errors.ts";
import { joined } from "../base/joined.ts";
import { quoted } from "../base/quoted.ts";
import { bytesField, NORMALIZER_FIELD } from "../formats/sentencepiece_model.ts";
import {
  type CompiledTokenizer,
  DefinedTokenizer,
  type StreamEncoder,
  type TextBatch,
} from "./compiled_tokenizer.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { decodeIds, streamDecoder } from "./detokenizer.ts";
import { encodeEach, textOf } from "./encode_texts.ts";
import type { EncodedBatch } from "./text_engine.ts";
import type { DecodeOptions, EncodeOptions, StreamDecoder } from "./tokenizer.ts";

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

class ForeignTokenizer extends DefinedTokenizer {
  readonly #processor: Processor;
  readonly #names: RegExp | undefined;

  constructor(definition: TokenizerDefinition, processor: Processor) {
    super(definition);
    this.#processor = processor;
    const names = definition.description.specials.map(({ name }) => name)
      .sort((a, b) => b.length - a.length)
      .map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.#names = names.length === 0 ? undefined : new RegExp(`(${names.join("|")})`);
  }

  encode(text: string | Uint8Array, options: EncodeOptions = {}): Uint32Array {
    const ids: number[] = [];
    if (options.bos === true && this.bosId !== undefined) ids.push(this.bosId);
    const whole = typeof text === "string" ? text.toWellFormed() : textOf(text, options);
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

  encodeBatch(texts: TextBatch, options: EncodeOptions = {}): EncodedBatch {
    return encodeEach(this, { ...texts, ...options });
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
        const whole = joined(Uint8Array, parts);
        parts = [];
        return this.encode(whole, options);
      },
    };
  }

  /** Whether text is changed after decoding. */
  #denormalizes(): boolean {
    const rules = this.definition.model?.denormalizer ?? [];
    return (bytesField(rules, NORMALIZER_FIELD.precompiledCharsmap)?.length ?? 0) > 0;
  }

  override decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    if (!this.#denormalizes()) return decodeIds(this.definition.decode, ids, options);
    const { special, kinds } = this.definition.decode;
    const list = Array.from(ids).filter((id) => options.skipSpecial !== true || !special.has(id));
    const bad = list.find((id) => !(id >= 0 && id < kinds.length));
    if (bad !== undefined) throw new RangeError(`Cannot decode id ${bad}: it is no id`);
    return this.#processor.decodeIds(list);
  }

  override decoder(options: DecodeOptions = {}): StreamDecoder {
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

  close(): void {
    // The package frees nothing; its memory goes with the tokenizer.
  }
}
