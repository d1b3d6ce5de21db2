/**
 * What one forward pass works on: rows of any number of sequences, laid out for the kernels.
 *
 * A row is (sequence, place in the cache, rotary position). Everything that kernels must know of the
 * rows goes to the backend in one upload.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { KvCache } from "./kv_cache.ts";
import type { KvSequence } from "./kv_pages.ts";
import { fillRopeTable, type RopeAngles } from "./rope.ts";

/** Tokens that one forward pass appends to a sequence. */
export interface Span {
  /** The sequence; a sequence stands in one span of a batch at most. */
  readonly sequence: KvSequence;
  /** Token ids. */
  readonly tokens: ArrayLike<number>;
  /** Rotary positions of the tokens; without them their places in the sequence. */
  readonly positions?: ArrayLike<number> | undefined;
}

/** Most rows, sequences and pages that a batch can have. */
export interface BatchLimits {
  /** Tokens of all spans. */
  readonly rows: number;
  /** Spans. */
  readonly sequences: number;
  /** Pages of one sequence. */
  readonly pages: number;
}

/** A batch in the backend's memory: addresses of what the kernels read. */
export interface Batch {
  /** Rows T. */
  readonly rows: number;
  /** What each row reads [T] i32. */
  readonly ids_T: Address;
  /** Places in the cache [T] i32. */
  readonly slots_T: Address;
  /** Row of the page table [T] i32. */
  readonly rowSequence_T: Address;
  /** Place in the sequence [T] i32. */
  readonly rowPosition_T: Address;
  /** Pages [sequences, maxPages] i32. */
  readonly pageTable: Address;
  /** Rows of the page table. */
  readonly sequences: number;
  /** Columns of the page table. */
  readonly maxPages: number;
  /** Cosines and sines [T, E/2, 2] f32. */
  readonly rope: Address;
}

/** Per row: id, slot, sequence, position. */
const INTEGERS_PER_ROW = 4;

/** Bytes that the largest batch takes on the backend. */
export function batchBytes(limits: BatchLimits, headDim: number): number {
  const perRow = INTEGERS_PER_ROW + headDim;
  return 4 * (limits.rows * perRow + limits.sequences * limits.pages);
}

/** What {@linkcode BatchBuilder} is made for. */
export interface BatchBuilderOptions {
  /** Where batches go: {@linkcode batchBytes} bytes. */
  readonly address: Address;
  /** Most that a batch can have. */
  readonly limits: BatchLimits;
  /** How far positions turn the pairs of a head. */
  readonly angles: RopeAngles;
  /** Token ids are below it. */
  readonly vocabSize: number;
}

/** Lays batches out, one after the other, in the same memory. */
export class BatchBuilder {
  readonly #backend: Backend;
  readonly #options: BatchBuilderOptions;
  readonly #integers: Int32Array;
  readonly #floats: Float32Array;

  /** Makes the host's side of the memory at `options.address`. */
  constructor(backend: Backend, options: BatchBuilderOptions) {
    const buffer = new ArrayBuffer(
      batchBytes(options.limits, 2 * options.angles.frequencies.length),
    );
    this.#backend = backend;
    this.#options = options;
    this.#integers = new Int32Array(buffer);
    this.#floats = new Float32Array(buffer);
  }

  /**
   * Appends the spans to their sequences and uploads the batch.
   *
   * @throws {RangeError} When there are too many rows, sequences or pages, or a token id is none; the
   * sequences are unchanged.
   */
  build(spans: readonly Span[], cache: KvCache): Batch {
    const rows = spans.reduce((sum, span) => sum + span.tokens.length, 0);
    this.#check(spans, rows);
    appendAll(spans, cache);
    const { pageSize } = cache.pages;
    const integers = this.#integers;
    const maxPages = spans.reduce((most, { sequence }) => Math.max(most, sequence.pages.length), 0);
    const tableAt = INTEGERS_PER_ROW * rows;
    const ropeAt = tableAt + spans.length * maxPages;
    const positions = new Float64Array(rows);
    // Columns beyond a sequence's pages are never read, but must not look like an earlier batch's angles.
    integers.fill(0, tableAt, ropeAt);
    let row = 0;
    spans.forEach((span, index) => {
      const { sequence, tokens } = span;
      const start = sequence.length - tokens.length;
      integers.set(sequence.pages, tableAt + index * maxPages);
      for (let i = 0; i < tokens.length; i++, row++) {
        const place = start + i;
        const page = sequence.pages[Math.floor(place / pageSize)]!;
        integers[row] = tokens[i]!;
        integers[rows + row] = page * pageSize + place % pageSize;
        integers[2 * rows + row] = index;
        integers[3 * rows + row] = place;
        positions[row] = span.positions?.[i] ?? place;
      }
    });
    const { angles, address } = this.#options;
    const end = ropeAt + rows * 2 * angles.frequencies.length;
    fillRopeTable(this.#floats.subarray(ropeAt, end), positions, angles);
    this.#backend.upload(address, this.#floats.subarray(0, end));
    return {
      rows,
      ids_T: address,
      slots_T: address + 4 * rows,
      rowSequence_T: address + 8 * rows,
      rowPosition_T: address + 12 * rows,
      pageTable: address + 4 * tableAt,
      sequences: spans.length,
      maxPages,
      rope: address + 4 * ropeAt,
    };
  }

  #check(spans: readonly Span[], rows: number): void {
    const { limits, vocabSize } = this.#options;
    if (rows === 0 || rows > limits.rows) {
      throw new RangeError(`Cannot run a batch of ${rows} rows: 1 to ${limits.rows} were planned`);
    }
    if (spans.length > limits.sequences) {
      throw new RangeError(
        `Cannot run a batch of ${spans.length} sequences: at most ${limits.sequences} were planned`,
      );
    }
    for (const { tokens, positions } of spans) {
      for (let i = 0; i < tokens.length; i++) {
        const id = tokens[i]!;
        if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
        throw new RangeError(
          `Cannot run token ${id}: the model's vocabulary has ${vocabSize} tokens`,
        );
      }
      if (positions !== undefined && positions.length !== tokens.length) {
        throw new RangeError(
          `Cannot run ${tokens.length} tokens with ${positions.length} rotary positions`,
        );
      }
    }
  }
}

/** Makes room in the cache for every span, or for none. */
function appendAll(spans: readonly Span[], cache: KvCache): void {
  let done = 0;
  try {
    for (const { sequence, tokens } of spans) {
      cache.append(sequence, tokens.length);
      done++;
    }
  } catch (error) {
    for (const { sequence, tokens } of spans.slice(0, done)) {
      cache.pages.rollBack(sequence, tokens.length);
    }
    throw error;
  }
}
