/**
 * Ids to text: one machine for whole sequences and for ids that come one at a time.
 *
 * Three references differ in what they do with byte pieces and with the space that encoding put in
 * front; everything that a rule may still change is held back, so that a stream gives exactly what
 * the whole gives.
 *
 * @module
 */

import { characterLength, isWellFormed, malformedAt } from "../base/utf8.ts";
import { STORED, SURFACE_WORDS, surfacesOf, UNUSUAL } from "./short_surfaces.ts";
import type { StreamDecoder } from "./tokenizer.ts";

/** What decoding an id does. */
export const SURFACE = {
  /** Writes its bytes. */
  text: 0,
  /** Adds one byte to a run of byte pieces. */
  byte: 1,
  /** Writes nothing. */
  silent: 2,
  /** Writes its bytes, which begin with a space that the table's rule may drop. */
  spaced: 3,
  /** Writes nothing; what follows stands at the start of a text. */
  begin: 4,
} as const;

/** What decoding must know of a vocabulary. */
export interface DecodeTable {
  /** A code of {@linkcode SURFACE} for each id. */
  readonly kinds: Uint8Array;
  /** The bytes of all ids, one after another. */
  readonly bytes: Uint8Array;
  /** Id `i` writes `bytes[offsets[i], offsets[i + 1])`. */
  readonly offsets: Uint32Array;
  /** Ids that `skipSpecial` leaves out. */
  readonly special: ReadonlySet<number>;
  /**
   * How bytes become characters. `bytes`: all ids write raw bytes, and malformed sequences become one
   * U+FFFD each (WHATWG). `each`: in a run of byte pieces, each malformed byte becomes U+FFFD
   * (SentencePiece). `run`: a run with any malformed byte becomes U+FFFD throughout (Hugging Face).
   */
  readonly malformed: "bytes" | "each" | "run";
  /**
   * Which leading spaces are dropped. `dummy`: one, of the first piece that has one before any text;
   * `all`: one of every piece before any text (SentencePiece with remove_extra_whitespaces);
   * `first`: one, if the text begins with one (Hugging Face's Strip); `piece`: all of the first id's
   * (its Metaspace); `none`.
   */
  readonly strip: "dummy" | "all" | "first" | "piece" | "none";
}

const SPACE = 0x20;
const REPLACEMENT = [0xef, 0xbf, 0xbd] as const;

/** The state of decoding one sequence of ids. */
class Detokenizer {
  readonly #table: DecodeTable;
  readonly #skipSpecial: boolean;
  #out: Uint8Array;
  #length = 0;
  #run = new Uint8Array(16);
  #runLength = 0;
  /** Whether a leading space may still be dropped. */
  #atStart: boolean;

  /** Starts decoding; `capacity` is the number of bytes expected. */
  constructor(
    table: DecodeTable,
    options: { skipSpecial?: boolean | undefined; capacity?: number } = {},
  ) {
    this.#table = table;
    this.#skipSpecial = options.skipSpecial === true;
    this.#atStart = table.strip !== "none";
    this.#out = new Uint8Array(options.capacity ?? 64);
  }

  /** Takes one id. @throws {RangeError} If it is outside the vocabulary. */
  push(id: number): void {
    const table = this.#table;
    const kind = table.kinds[id];
    if (kind === undefined) {
      throw new RangeError(`Cannot decode id ${id}: the vocabulary has ${table.kinds.length} ids`);
    }
    if (this.#skipSpecial && table.special.has(id)) return;
    if (this.#atStart && table.strip === "piece") return this.#pushFirst(id);
    const start = table.offsets[id]!;
    const end = table.offsets[id + 1]!;
    if (kind === SURFACE.text || (kind === SURFACE.spaced && !this.#atStart)) {
      if (this.#runLength > 0) this.#endRun();
      this.#write(table.bytes, start, end);
    } else if (kind === SURFACE.byte) {
      this.#pushByte(table.bytes[start]!);
    } else {
      if (this.#runLength > 0) this.#endRun();
      if (kind === SURFACE.spaced) this.#write(table.bytes, start + this.#leadingSpace(), end);
      else if (kind === SURFACE.begin) this.#atStart = table.strip !== "none";
    }
  }

  /** Takes the first id, which loses all its spaces. */
  #pushFirst(id: number): void {
    const { kinds, bytes, offsets } = this.#table;
    this.#atStart = false;
    if (kinds[id] !== SURFACE.spaced) return this.push(id);
    const text = bytes.subarray(offsets[id], offsets[id + 1]).filter((byte) => byte !== SPACE);
    this.#write(text, 0, text.length);
  }

  /** Takes a whole sequence. @throws {RangeError} For an id outside the vocabulary. */
  pushAll(ids: ArrayLike<number>): void {
    const words = ids instanceof Uint32Array ? ids : Uint32Array.from(ids);
    if (words !== ids && words.some((word, i) => word !== ids[i])) {
      // What is no id is refused in its turn.
      for (let i = 0; i < ids.length; i++) this.push(ids[i]!);
      return;
    }
    let at = 0;
    while (at < words.length) {
      if (!this.#atStart && this.#runLength === 0) at = this.#pushUsual(words, at);
      if (at < words.length) this.push(words[at++]!);
    }
  }

  /**
   * Takes ids whose bytes stand for themselves, and runs of byte pieces that are well-formed; gives
   * the place of the first other id.
   */
  #pushUsual(ids: Uint32Array, from: number): number {
    const { words, long } = surfacesOf(this.#table);
    const count = this.#table.kinds.length;
    let room = this.#room(ids.length - from);
    let last = room.byteLength - STORED;
    let at = this.#length;
    let i = from;
    while (i < ids.length) {
      const id = ids[i]!;
      if (id >= count) break;
      const word = (id | 0) * SURFACE_WORDS;
      const length = words[word + 2]!;
      const isLong = length === UNUSUAL.long;
      const needed = isLong ? words[word + 1]! : 0;
      if (at + needed > last) {
        this.#length = at;
        room = this.#room(ids.length - i, needed);
        last = room.byteLength - STORED;
      }
      if (length <= STORED) {
        room.setInt32(at, words[word]!, true);
        room.setInt32(at + 4, words[word + 1]!, true);
        at += length;
        i++;
      } else if (isLong) {
        const start = words[word]!;
        for (let k = 0; k < needed; k += STORED) {
          room.setInt32(at + k, long.getInt32(start + k, true), true);
          room.setInt32(at + k + 4, long.getInt32(start + k + 4, true), true);
        }
        at += needed;
        i++;
      } else {
        // Special ids are left to `push`, which knows whether they are skipped.
        const behind = length === UNUSUAL.byte ? this.#writeRunOf(ids, i, at) : i;
        if (behind === i) break;
        at += behind - i;
        i = behind;
      }
    }
    this.#length = at;
    return i;
  }

  /** The output as a view, with room for about so many ids, and for certain so many bytes. */
  #room(ids: number, bytes = 0): DataView {
    this.#reserve(Math.max(ids * 6, bytes) + STORED);
    return new DataView(this.#out.buffer, this.#out.byteOffset, this.#out.byteLength);
  }

  /**
   * Writes a run of byte pieces at `to`; gives the place behind it, or its own where the run is not
   * well-formed, or too long for the room that is there.
   */
  #writeRunOf(ids: Uint32Array, from: number, to: number): number {
    const { words } = surfacesOf(this.#table);
    const out = this.#out;
    let next = from;
    let at = to;
    while (next < ids.length) {
      const word = SURFACE_WORDS * ids[next]!;
      const code = words[word + 2]!;
      // A run goes on behind what is skipped, and in special bytes.
      if (code === UNUSUAL.other) return from;
      if (code !== UNUSUAL.byte) break;
      out[at++] = words[word]!;
      next++;
    }
    return at <= out.length && isWellFormed(out, { from: to, end: at }) ? next : from;
  }

  /** Makes room for so many bytes more. */
  #reserve(count: number): void {
    if (this.#length + count <= this.#out.length) return;
    const larger = new Uint8Array(Math.max(this.#out.length * 2, this.#length + count));
    larger.set(this.#out.subarray(0, this.#length));
    this.#out = larger;
  }

  /** How many spaces the table's rule drops from a piece that begins with one: 0 or 1. */
  #leadingSpace(): number {
    if (!this.#atStart) return 0;
    this.#atStart = this.#table.strip === "all";
    return 1;
  }

  #pushByte(byte: number): void {
    if (this.#runLength === this.#run.length) {
      const larger = new Uint8Array(this.#run.length * 2);
      larger.set(this.#run);
      this.#run = larger;
    }
    this.#run[this.#runLength++] = byte;
    if (this.#table.malformed === "each") this.#writeRun(false);
  }

  /** Writes what is certain of a run where each malformed byte stands alone. */
  #writeRun(final: boolean): void {
    const run = this.#run.subarray(0, this.#runLength);
    let at = 0;
    while (at < run.length) {
      const length = characterLength(run, at);
      if (length < 0 && !final) break;
      if (length > 0) this.#writeRunBytes(run, at, at + length);
      else this.#writeRunBytes(REPLACEMENT, 0, 3);
      at += Math.max(length, 1);
    }
    run.copyWithin(0, at);
    this.#runLength -= at;
  }

  #writeRunBytes(bytes: ArrayLike<number>, start: number, end: number): void {
    const dropped = this.#table.strip === "first" && this.#atStart && bytes[start] === SPACE;
    this.#write(bytes, dropped ? start + 1 : start, end);
    if (dropped) this.#atStart = false;
  }

  #endRun(): void {
    if (this.#table.malformed === "each") return this.#writeRun(true);
    const run = this.#run.subarray(0, this.#runLength);
    this.#runLength = 0;
    if (malformedAt(run) < 0) return this.#writeRunBytes(run, 0, run.length);
    for (let i = 0; i < run.length; i++) this.#writeRunBytes(REPLACEMENT, 0, 3);
  }

  #write(bytes: ArrayLike<number>, start: number, end: number): void {
    const count = end - start;
    if (count <= 0) return;
    this.#reserve(count);
    const out = this.#out;
    let at = this.#length;
    for (let i = start; i < end; i++) out[at++] = bytes[i]!;
    this.#length = at;
    this.#atStart = false;
  }

  /** Ends the sequence: what was held back is written. */
  finish(): void {
    if (this.#runLength > 0) this.#endRun();
  }

  /** Takes the bytes written since the last call, as a view that the next push overwrites. */
  take(): Uint8Array {
    const bytes = this.#out.subarray(0, this.#length);
    this.#length = 0;
    return bytes;
  }
}

/** Decodes a whole sequence. @throws {RangeError} For an id outside the vocabulary. */
export function decodeIds(
  table: DecodeTable,
  ids: ArrayLike<number>,
  options: { skipSpecial?: boolean | undefined } = {},
): string {
  const detokenizer = new Detokenizer(table, { ...options, capacity: ids.length * 6 + 16 });
  detokenizer.pushAll(ids);
  detokenizer.finish();
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(detokenizer.take());
}

/** A decoder for ids that come one at a time. */
export function streamDecoder(
  table: DecodeTable,
  options: { skipSpecial?: boolean | undefined } = {},
): StreamDecoder {
  let detokenizer = new Detokenizer(table, options);
  let text = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push(id: number): string {
      detokenizer.push(id);
      return text.decode(detokenizer.take(), { stream: true });
    },
    end(): string {
      detokenizer.finish();
      const rest = text.decode(detokenizer.take());
      detokenizer = new Detokenizer(table, options);
      text = new TextDecoder("utf-8", { ignoreBOM: true });
      return rest;
    },
  };
}
