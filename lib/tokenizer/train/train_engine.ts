/**
 * The training kernels as an object: one run in a backend's memory.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { PackedTexts } from "../description.ts";
import type { TextBlock } from "../../formats/text_blocks.ts";

/** What was read. */
export interface TextSummary {
  /** Lines (byte-level: documents, or lines of a sample) that could be trained on. */
  readonly lines: number;
  /** Lines left out because they are too long. */
  readonly tooLong: number;
  /** Lines left out because they have U+2585. */
  readonly reserved: number;
  /** Distinct words. */
  readonly words: number;
  /** Characters, or bytes, that pieces are built from. */
  readonly alphabet: number;
  /** Occurrences of all characters; 0 for byte-level training. */
  readonly characters: number;
  /** A required character that the text does not have. */
  readonly absent: string | undefined;
}

/** How far learning has come. */
export interface LearningProgress {
  /** Pieces learned. */
  readonly learned: number;
  /** Occurrences of the last one. */
  readonly frequency: number;
  /** No pair is left to merge. */
  readonly exhausted: boolean;
  /** The first piece that the reference itself does not determine. */
  readonly ambiguousFrom: number | undefined;
}

const OUT_BYTES = 64;

/** The kernels' side of a training: takes texts, counts words, merges pairs; its memory is freed by `close`. */
export class TrainEngine {
  readonly #backend: Backend;
  readonly #out: Address;
  readonly #result = new Float64Array(OUT_BYTES / 8);
  #handle: Address;
  #input: Address = 0;
  #capacity = 0;

  /** Begins a run from its description. */
  constructor(backend: Backend, description: Uint8Array) {
    this.#backend = backend;
    this.#out = backend.alloc(OUT_BYTES);
    const blob = backend.alloc(description.length);
    try {
      backend.upload(blob, description);
      const bytes = description.length;
      backend.kernels.text_train_open({ out: this.#out, description: blob, bytes });
      this.#handle = this.#read()[0]!;
    } catch (thrown) {
      backend.free(this.#out);
      throw thrown;
    } finally {
      backend.free(blob);
    }
  }

  #read(): Float64Array {
    this.#backend.download(this.#result, this.#out);
    return this.#result;
  }

  #reserve(bytes: number): Address {
    if (bytes > this.#capacity) {
      if (this.#input !== 0) this.#backend.free(this.#input);
      this.#input = 0;
      this.#capacity = Math.max(bytes, 1 << 16);
      this.#input = this.#backend.alloc(this.#capacity);
    }
    return this.#input;
  }

  /**
   * Reads a block of text. Gives the offset in it of a byte that is not UTF-8 (negative where its
   * character began in a block before), and whether no more is wanted.
   */
  feed({ bytes, ends }: Pick<TextBlock, "bytes" | "ends">): { invalid?: number; full: boolean } {
    const endsAt = Math.ceil(bytes.length / 8) * 8;
    const text = this.#reserve(endsAt + 4 * ends.length + 8);
    if (bytes.length > 0) this.#backend.upload(text, bytes);
    if (ends.length > 0) this.#backend.upload(text + endsAt, Uint32Array.from(ends));
    this.#backend.kernels.text_train_feed({
      out: this.#out,
      handle: this.#handle,
      text,
      ends: text + endsAt,
      bytes: bytes.length,
      documents: ends.length,
    });
    const [what, offset, , full] = this.#read();
    return what === 1 ? { invalid: offset!, full: true } : { full: full === 1 };
  }

  /** Ends reading, chooses the alphabet and counts the first pairs. */
  prepare(): TextSummary {
    this.#backend.kernels.text_train_prepare({ out: this.#out, handle: this.#handle });
    const [lines, tooLong, reserved, words, alphabet, characters, absent] = this.#read();
    return {
      lines: lines!,
      tooLong: tooLong!,
      reserved: reserved!,
      words: words!,
      alphabet: alphabet!,
      characters: characters!,
      absent: absent! < 0 ? undefined : String.fromCodePoint(absent!),
    };
  }

  /** Learns until there are `target` pieces, at most `budget` of them now. */
  step(target: number, budget: number): LearningProgress {
    const { kernels } = this.#backend;
    kernels.text_train_step({ out: this.#out, handle: this.#handle, target, budget });
    const [learned, frequency, exhausted, ambiguous] = this.#read();
    return {
      learned: learned!,
      frequency: frequency!,
      exhausted: exhausted === 1,
      ambiguousFrom: ambiguous! < 0 ? undefined : ambiguous!,
    };
  }

  /** The pieces: those learned in order, then the alphabet by frequency (none of bytes). */
  pieces(): PackedTexts {
    this.#backend.kernels.text_train_pieces({ out: this.#out, handle: this.#handle });
    const [address, length, endsAddress, count] = this.#read();
    const bytes = new Uint8Array(length!);
    const ends = new Uint32Array(count!);
    if (length! > 0) this.#backend.download(bytes, address!);
    if (count! > 0) this.#backend.download(ends, endsAddress!);
    return { bytes, ends };
  }

  /** Frees the run; the backend stays open. */
  close(): void {
    if (this.#handle === 0) return;
    this.#backend.kernels.text_train_close({ handle: this.#handle });
    this.#handle = 0;
    this.#backend.free(this.#out);
    if (this.#input !== 0) this.#backend.free(this.#input);
  }
}
