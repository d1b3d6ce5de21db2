/**
 * A tokenizer that encodes by the text kernels.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { wholeCharacters } from "../base/utf8.ts";
import {
  type CompiledTokenizer,
  DefinedTokenizer,
  type StreamEncoder,
  type StreamPlace,
  type TextBatch,
} from "./compiled_tokenizer.ts";
import type { TokenizerDefinition } from "./definition.ts";
import { hasLongLine, type IdLines, type LineOptions } from "./id_lines.ts";
import { PreparedTokenizer, withoutPreparation } from "./prepared.ts";
import { type EncodedBatch, type EngineOptions, TextEngine } from "./text_engine.ts";
import type { EncodeOptions } from "./tokenizer.ts";

const encoder = new TextEncoder();

/** Strings up to this length become bytes at once, in memory that they share. */
const SHORT = 1 << 16;
/** For longer ones it pays to count the bytes first instead of making room for all that they can be. */
const LONG = 1 << 26;
const shared = new Uint8Array(SHORT * 3);

/** Compiles a definition on a backend. @throws {FormatError} If it is not consistent. */
export function compileTokenizer(
  definition: TokenizerDefinition,
  backend: Backend,
): CompiledTokenizer {
  const { preparation } = definition;
  if (preparation === undefined) return new EngineTokenizer(definition, backend);
  const inner = new EngineTokenizer(withoutPreparation(definition), backend);
  return new PreparedTokenizer({ ...definition, preparation }, inner);
}

class EngineTokenizer extends DefinedTokenizer {
  readonly #engine: TextEngine;

  constructor(definition: TokenizerDefinition, backend: Backend) {
    super(definition);
    this.#engine = new TextEngine(backend, definition.description, definition);
  }

  /** Bytes whose malformed parts the kernels need not, or cannot, replace. */
  #clean(bytes: Uint8Array, options: EncodeOptions): Uint8Array {
    if (options.invalid !== "replace" || this.definition.replaceBytes) return bytes;
    return encoder.encode(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  }

  #engineOptions(options: EncodeOptions): EngineOptions {
    return {
      special: options.special ?? "text",
      replace: options.invalid === "replace" && this.definition.replaceBytes,
    };
  }

  encode(text: string | Uint8Array, options: EncodeOptions = {}): Uint32Array {
    const ids = this.#encode(text, options);
    return withEnds(ids, {
      first: options.bos === true ? this.bosId : undefined,
      last: options.eos === true ? this.eosId : undefined,
    });
  }

  #encode(text: string | Uint8Array, options: EncodeOptions): Uint32Array {
    const engineOptions = this.#engineOptions(options);
    if (typeof text === "string" && text.length > SHORT && text.length <= LONG) {
      return this.#engine.encodeString(text, engineOptions);
    }
    const bytes = typeof text !== "string"
      ? this.#clean(text, options)
      : text.length > LONG
      ? encoder.encode(text)
      : shared.subarray(0, encoder.encodeInto(text, shared).written);
    return this.#engine.encode(bytes, Uint32Array.of(bytes.length), engineOptions).ids;
  }

  encodeBatch(
    texts: TextBatch,
    options: EncodeOptions = {},
  ): EncodedBatch {
    const { bytes, ends } = options.invalid === "replace" && !this.definition.replaceBytes
      ? this.#cleanTexts(texts)
      : texts;
    return this.#engine.encode(bytes, ends, this.#engineOptions(options));
  }

  #cleanTexts({ bytes, ends }: TextBatch): TextBatch {
    const parts: Uint8Array[] = [];
    const newEnds = new Uint32Array(ends.length);
    let length = 0;
    ends.forEach((end, i) => {
      const part = this.#clean(bytes.subarray(ends[i - 1] ?? 0, end), { invalid: "replace" });
      parts.push(part);
      newEnds[i] = length += part.length;
    });
    const all = new Uint8Array(length);
    parts.forEach((part, i) => all.set(part, newEnds[i]! - part.length));
    return { bytes: all, ends: newEnds };
  }

  override encodeLines(text: Uint8Array, options: LineOptions = {}): IdLines {
    const cleaned = options.invalid === "replace" && !this.definition.replaceBytes;
    if (cleaned || hasLongLine(text)) return super.encodeLines(text, options);
    return this.#engine.encodeLines(text, {
      ...this.#engineOptions(options),
      first: options.bos === true ? this.bosId : undefined,
      last: options.eos === true ? this.eosId : undefined,
      offset: options.offset ?? 0,
    });
  }

  encoder(
    options: EncodeOptions & { readonly from?: StreamPlace | undefined } = {},
  ): StreamEncoder {
    return new PartEncoder(this.#engine, { ...this.#engineOptions(options) }, {
      first: options.bos === true ? this.bosId : undefined,
      last: options.eos === true ? this.eosId : undefined,
      clean: options.invalid === "replace" && !this.definition.replaceBytes,
    }, options.from);
  }

  close(): void {
    this.#engine.close();
  }
}

/** Tokens at the ends of a stream, and whether malformed bytes are replaced before encoding. */
interface StreamEnds {
  readonly first: number | undefined;
  readonly last: number | undefined;
  readonly clean: boolean;
}

class PartEncoder implements StreamEncoder {
  readonly #engine: TextEngine;
  readonly #options: EngineOptions;
  readonly #ends: StreamEnds;
  #cleaner: TextDecoder | undefined;
  #pending: Uint8Array = new Uint8Array();
  #place = 0;
  #offset = 0;
  #begun = false;

  constructor(
    engine: TextEngine,
    options: EngineOptions,
    ends: StreamEnds,
    from: StreamPlace | undefined,
  ) {
    this.#engine = engine;
    this.#options = options;
    this.#ends = ends;
    this.#restart();
    if (from === undefined) return;
    this.#place = from.state;
    this.#offset = from.byte;
    this.#begun = true;
  }

  get place(): StreamPlace | undefined {
    // Bytes that were cleaned are not those of the text.
    return this.#ends.clean ? undefined : { byte: this.#offset, state: this.#place };
  }

  #restart(): void {
    this.#pending = new Uint8Array();
    this.#place = 0;
    this.#offset = 0;
    this.#begun = false;
    this.#cleaner = new TextDecoder("utf-8", { ignoreBOM: true });
  }

  push(part: string | Uint8Array): Uint32Array {
    return this.#encode(this.#bytes(part, true), false);
  }

  end(): Uint32Array {
    const ids = this.#encode(this.#bytes(new Uint8Array(), false), true);
    this.#restart();
    return ids;
  }

  #bytes(part: string | Uint8Array, stream: boolean): Uint8Array {
    if (typeof part === "string") return encoder.encode(part);
    return this.#ends.clean ? encoder.encode(this.#cleaner!.decode(part, { stream })) : part;
  }

  #encode(more: Uint8Array, last: boolean): Uint32Array {
    const all = new Uint8Array(this.#pending.length + more.length);
    all.set(this.#pending);
    all.set(more, this.#pending.length);
    const whole = last ? all.length : wholeCharacters(all);
    const { ids, taken, place } = this.#engine.stream(
      { bytes: all.subarray(0, whole), place: this.#place, last, offset: this.#offset },
      this.#options,
    );
    this.#pending = all.slice(taken);
    this.#place = place;
    this.#offset += taken;
    const first = this.#begun ? undefined : this.#ends.first;
    this.#begun = true;
    return withEnds(ids, { first, last: last ? this.#ends.last : undefined });
  }
}

function withEnds(
  ids: Uint32Array,
  { first, last }: { first: number | undefined; last: number | undefined },
): Uint32Array {
  if (first === undefined && last === undefined) return ids;
  const start = first === undefined ? 0 : 1;
  const all = new Uint32Array(ids.length + start + (last === undefined ? 0 : 1));
  all.set(ids, start);
  if (first !== undefined) all[0] = first;
  if (last !== undefined) all[all.length - 1] = last;
  return all;
}
