/**
 * The text kernels as an object: a compiled tokenizer in a backend's memory.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import { openBackend } from "../backend/open.ts";
import { FormatError, LlameroError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { pieceText } from "../formats/piece_list.ts";
import { type Description, formatDescription } from "./description.ts";
import type { IdLines } from "./id_lines.ts";
import type { SpecialTokens } from "./tokenizer.ts";

/** Ids of many texts. */
export interface EncodedBatch {
  /** Ids of all texts, one after another. */
  readonly ids: Uint32Array;
  /** How many of them each text has. */
  readonly counts: Uint32Array;
}

/** How the kernels take the bytes. */
export interface EngineOptions {
  /** Names of special tokens. */
  readonly special: SpecialTokens;
  /** Malformed bytes become U+FFFD, one for each, instead of an error. */
  readonly replace: boolean;
}

/** How the kernels take lines. */
export interface EngineLineOptions extends EngineOptions {
  /** Id before those of every line. */
  readonly first: number | undefined;
  /** Id behind those of every line. */
  readonly last: number | undefined;
  /** Where the lines stand in a file, for errors. */
  readonly offset: number;
}

/** A part of one text. */
export interface StreamPart {
  /** The bytes not encoded yet. */
  readonly bytes: Uint8Array;
  /** Where they stand: 0 at first, then what the last call gave. */
  readonly place: number;
  /** Whether nothing follows. */
  readonly last: boolean;
  /** Offset of the bytes in the whole, for errors. */
  readonly offset: number;
}

/** What encoding a part gave. */
export interface StreamResult {
  /** Ids that the part has made certain. */
  readonly ids: Uint32Array;
  /** Bytes encoded. */
  readonly taken: number;
  /** Where the next part stands. */
  readonly place: number;
}

const SPECIAL_CODE: Readonly<Record<SpecialTokens, number>> = { text: 0, parse: 1, refuse: 2 };
const OUT_BYTES = 64;
/** Bytes of UTF-8 that a unit of UTF-16 takes at most. */
const MOST_BYTES = 3;
const ALIGNMENT = 8;
/** Units of UTF-16 that are turned into bytes at a time; the bytes stay near the processor. */
const PART_UNITS = 1 << 17;
/** How much more room is made than is wanted, for what comes next. */
const SPARE = 1.25;
/** Stands for no id. */
const NO_ID = 0xffff_ffff;

let shared: Promise<Backend> | undefined;

/** The backend of tokenizers that are opened without one: the best that is there, on one thread. */
export function sharedTextBackend(): Promise<Backend> {
  return shared ??= openBackend({ threads: 1, processor: true });
}

const encoder = new TextEncoder();
const partBytes = new Uint8Array(PART_UNITS * MOST_BYTES);

/** The bytes of a string, part after part, each of whole characters and valid until the next. */
function* utf8Parts(text: string): Generator<Uint8Array> {
  for (let at = 0; at < text.length;) {
    let end = Math.min(at + PART_UNITS, text.length);
    const last = text.charCodeAt(end - 1);
    // The first half of a pair waits for the second.
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end--;
    yield partBytes.subarray(0, encoder.encodeInto(text.slice(at, end), partBytes).written);
    at = end;
  }
}

/** A tokenizer in a backend's memory. */
export class TextEngine {
  readonly #backend: Backend;
  readonly #description: Description;
  readonly #file: string;
  readonly #out: Address;
  readonly #result = new Float64Array(OUT_BYTES / 8);
  #handle: Address;
  #input: Address = 0;
  #capacity = 0;
  /** Lines written last: new memory each time would take longer than writing them. */
  #lines: Uint8Array = new Uint8Array();

  /** Compiles a tokenizer; `file` names it in errors. @throws {FormatError} If it is not consistent. */
  constructor(backend: Backend, description: Description, options: { file: string }) {
    this.#backend = backend;
    this.#description = description;
    this.#file = options.file;
    this.#out = backend.alloc(OUT_BYTES);
    const bytes = formatDescription(description);
    const blob = backend.alloc(bytes.length);
    try {
      backend.upload(blob, bytes);
      backend.kernels.text_open({ out: this.#out, blob, bytes: bytes.length });
      backend.download(this.#result, this.#out);
    } catch (thrown) {
      backend.free(this.#out);
      throw thrown;
    } finally {
      backend.free(blob);
    }
    this.#handle = this.#result[0]!;
    if (this.#handle === 0) {
      backend.free(this.#out);
      throw this.#refusal(this.#result[1]!, this.#result[2]!, this.#result[3]!);
    }
  }

  #refusal(what: number, a: number, b: number): FormatError {
    const piece = (id: number): string => quoted(pieceText(this.#description.pieces, id));
    const { merges } = this.#description;
    const half = (i: number): string =>
      new TextDecoder().decode(
        merges.bytes.subarray(i === 0 ? 0 : merges.ends[i - 1], merges.ends[i]),
      );
    const text = what === 1
      ? `the ids ${a} and ${b} are both the piece ${piece(a)}`
      : what === 2
      ? `no piece is the byte 0x${a.toString(16).padStart(2, "0")}, and all 256 bytes are needed`
      : `merge ${a} is of ${quoted(half(a * 2))} and ${quoted(half(a * 2 + 1))}, and ${
        b === 0 ? "the first" : b === 1 ? "the second" : "their concatenation"
      } is no piece`;
    return new FormatError(`Cannot use the tokenizer ${quoted(this.#file)}: ${text}`, {
      file: this.#file,
    });
  }

  /** Copies bytes into the backend's memory; gives their address. */
  #put(...parts: ArrayBufferView[]): Address[] {
    const total = parts.reduce((sum, part) => sum + ((part.byteLength + 7) & ~7), 8);
    let at = total > this.#capacity
      ? this.#reserve(Math.max(total, Math.min(total * 2, 1 << 20)))
      : this.#input;
    return parts.map((part) => {
      const address = at;
      if (part.byteLength > 0) this.#backend.upload(address, part);
      at += (part.byteLength + 7) & ~7;
      return address;
    });
  }

  /** Room for so many bytes behind one another; what stands there before is lost. */
  #reserve(bytes: number): Address {
    if (bytes > this.#capacity) {
      if (this.#input !== 0) this.#backend.free(this.#input);
      this.#input = 0;
      this.#capacity = 0;
      this.#input = this.#backend.alloc(bytes);
      this.#capacity = bytes;
    }
    return this.#input;
  }

  #download(address: number, count: number): Uint32Array {
    const words = new Uint32Array(count);
    if (count > 0) this.#backend.download(words, address);
    return words;
  }

  #check(what: number, a: number, b: number, offset: number): void {
    if (what === 0) return;
    if (what === 1) {
      throw new FormatError(
        `Cannot encode the text: byte ${offset + a} is not UTF-8`,
        { offset: offset + a, hint: "replace what is malformed with --invalid replace" },
      );
    }
    const name = this.#description.specials.find(({ id }) => id === b)?.name ?? String(b);
    throw new LlameroError(
      `Cannot encode the text: it has the special token ${quoted(name)} at byte ${
        offset + a
      }, and none was wanted`,
      { hint: "take it as text with --special text, or as the token with --special parse" },
    );
  }

  /** Encodes texts that stand one after another in `bytes`, text `i` up to `ends[i]`. */
  encode(bytes: Uint8Array, ends: Uint32Array, options: EngineOptions): EncodedBatch {
    if (ends.length === 0) return { ids: new Uint32Array(), counts: new Uint32Array() };
    const [text, endsAddress] = this.#put(bytes, ends);
    return this.#encode(
      text!,
      { bytes: bytes.length, ends: endsAddress!, texts: ends.length },
      options,
    );
  }

  /** Encodes texts that are in the backend's memory. */
  #encode(
    text: Address,
    { bytes, ends, texts }: { bytes: number; ends: Address; texts: number },
    options: EngineOptions,
  ): EncodedBatch {
    this.#backend.kernels.text_encode({
      out: this.#out,
      handle: this.#open(),
      text,
      ends,
      bytes,
      texts,
      special: SPECIAL_CODE[options.special],
      replace: options.replace ? 1 : 0,
    });
    this.#backend.download(this.#result, this.#out);
    const [ids, count, counts, what, a, b] = this.#result as unknown as number[];
    this.#check(what!, a!, b!, 0);
    return { ids: this.#download(ids!, count!), counts: this.#download(counts!, texts) };
  }

  /** Encodes a string; other threads begin while it is turned into bytes. */
  encodeString(text: string, options: EngineOptions): Uint32Array {
    const handle = this.#open();
    const most = text.length * MOST_BYTES;
    const input = this.#reserve(most + 2 * ALIGNMENT);
    let bytes = 0;
    const begin = (bytes: number): void =>
      this.#backend.kernels.text_begin({
        handle,
        text: input,
        bytes,
        most,
        special: SPECIAL_CODE[options.special],
      });
    try {
      for (const part of utf8Parts(text)) {
        this.#backend.upload(input + bytes, part);
        bytes += part.length;
        if (options.special !== "refuse") begin(bytes);
      }
      const ends = input + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
      this.#backend.upload(ends, Uint32Array.of(bytes));
      return this.#encode(input, { bytes, ends, texts: 1 }, options).ids;
    } catch (thrown) {
      begin(0);
      throw thrown;
    }
  }

  /** Encodes each line of a text for itself and writes the ids in decimal. */
  encodeLines(text: Uint8Array, options: EngineLineOptions): IdLines {
    const [address] = this.#put(text);
    this.#backend.kernels.text_lines({
      out: this.#out,
      handle: this.#open(),
      text: address!,
      bytes: text.length,
      special: SPECIAL_CODE[options.special],
      replace: options.replace ? 1 : 0,
      first: options.first ?? NO_ID,
      last: options.last ?? NO_ID,
    });
    this.#backend.download(this.#result, this.#out);
    const [written, count, lines, what, a, b] = this.#result as unknown as number[];
    this.#check(what!, a!, b!, options.offset);
    if (count! > this.#lines.length) this.#lines = new Uint8Array(Math.ceil(count! * SPARE));
    const bytes = this.#lines.subarray(0, count!);
    if (count! > 0) this.#backend.download(bytes, written!);
    return { bytes, lines: lines! };
  }

  /** Encodes a part of one text as far as what follows cannot change it. */
  stream(part: StreamPart, options: EngineOptions): StreamResult {
    const [text] = this.#put(part.bytes);
    this.#backend.kernels.text_stream({
      out: this.#out,
      handle: this.#open(),
      text: text!,
      bytes: part.bytes.length,
      special: SPECIAL_CODE[options.special],
      replace: options.replace ? 1 : 0,
      place: part.place,
      last: part.last ? 1 : 0,
    });
    this.#backend.download(this.#result, this.#out);
    const [ids, count, taken, what, a, b, place] = this.#result as unknown as number[];
    this.#check(what!, a!, b!, part.offset);
    return { ids: this.#download(ids!, count!), taken: taken!, place: place! };
  }

  #open(): Address {
    if (this.#handle === 0) throw new TypeError("the tokenizer is closed");
    return this.#handle;
  }

  /** Frees the tokenizer; the backend stays open. */
  close(): void {
    if (this.#handle === 0) return;
    this.#backend.kernels.text_close({ handle: this.#handle });
    this.#handle = 0;
    this.#backend.free(this.#out);
    if (this.#input !== 0) this.#backend.free(this.#input);
  }
}
