/**
 * Runs given texts through a decoder and shows what it thinks of every token: logits and
 * log-probabilities, in one forward pass over many rows at a time.
 *
 * @module
 */

import { EventLoop } from "../base/event_loop.ts";
import type { Decoder, DecoderSession } from "../model/decoder.ts";
import type { HeadChunk } from "../model/head.ts";
import { KV_PAGE_SIZE, type KvType } from "../model/kv_cache.ts";
import type { KvSequence } from "../model/kv_pages.ts";

/** Rows of one forward pass: enough to be bound by arithmetic, not by memory. */
const ROWS = 512;

/** A text that is given whole; texts do not see one another. */
export interface GivenText {
  /** Token ids. */
  readonly tokens: ArrayLike<number>;
  /** Rotary positions of the tokens; without them 0, 1, 2, … */
  readonly positions?: ArrayLike<number> | undefined;
}

/** How texts are run. */
export interface TeacherForcingOptions {
  /** Most rows of one forward pass. @default {512} */
  readonly rows?: number | undefined;
  /** Element type of cached keys and values. @default {"f32"} */
  readonly kvType?: KvType | undefined;
  /** Stops between layers. */
  readonly signal?: AbortSignal | undefined;
}

/** A part of one text that one forward pass takes. */
interface Piece {
  readonly text: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Yields the head's chunks over all tokens of all texts, in order: `first` counts from the first
 * token of the first text. A chunk is gone when the next one is asked for.
 *
 * @throws {RangeError} When a token id lies outside the vocabulary.
 * @throws {BackendError} When there is too little memory.
 */
export async function* forceTexts(
  decoder: Decoder,
  texts: readonly GivenText[],
  options: TeacherForcingOptions = {},
): AsyncGenerator<HeadChunk, void, void> {
  const batches = packTexts(texts.map((text) => text.tokens.length), options.rows ?? ROWS);
  if (batches.length === 0) return;
  const session = decoder.session({
    rows: most(batches, (batch) => sum(batch, lengthOf)),
    sequences: most(batches, (batch) => batch.length),
    // A text that is not finished keeps its pages; it then stands in the next batch too.
    positions: most(batches, (batch) => sum(batch, wholePages)),
    textPositions: most(texts, reachOf),
    kvType: options.kvType,
  });
  try {
    const eventLoop = new EventLoop(options.signal);
    const sequences = new Map<number, KvSequence>();
    let done = 0;
    for (const batch of batches) {
      await forward(session, batch, { texts, sequences, eventLoop });
      const count = sum(batch, lengthOf);
      for (const chunk of session.head.chunks(Int32Array.from({ length: count }, (_, i) => i))) {
        yield { ...chunk, first: done + chunk.first };
        await eventLoop.turn();
      }
      done += count;
    }
  } finally {
    session.close();
  }
}

interface Progress {
  readonly texts: readonly GivenText[];
  readonly sequences: Map<number, KvSequence>;
  readonly eventLoop: EventLoop;
}

async function forward(
  session: DecoderSession,
  batch: readonly Piece[],
  { texts, sequences, eventLoop }: Progress,
): Promise<void> {
  const { pages } = session.cache;
  const spans = batch.map(({ text, start, end }) => {
    const { tokens, positions } = texts[text]!;
    if (start === 0) sequences.set(text, pages.open());
    return {
      sequence: sequences.get(text)!,
      tokens: Array.prototype.slice.call(tokens, start, end),
      positions: positions && Array.prototype.slice.call(positions, start, end),
    };
  });
  for (const _ of session.layers(spans)) await eventLoop.turn();
  for (const { text, end } of batch) {
    if (end === texts[text]!.tokens.length) pages.close(sequences.get(text)!);
  }
}

/** Cuts texts of these lengths, in order, into batches of at most `rows` rows. */
function packTexts(lengths: readonly number[], rows: number): Piece[][] {
  const batches: Piece[][] = [];
  let left = 0;
  lengths.forEach((length, text) => {
    for (let start = 0; start < length;) {
      if (left === 0) {
        batches.push([]);
        left = rows;
      }
      const end = Math.min(length, start + left);
      batches.at(-1)!.push({ text, start, end });
      left -= end - start;
      start = end;
    }
  });
  return batches;
}

function lengthOf({ start, end }: Piece): number {
  return end - start;
}

/** Positions of the pages that a text has after its piece. */
function wholePages({ end }: Piece): number {
  return Math.ceil(end / KV_PAGE_SIZE) * KV_PAGE_SIZE;
}

/** One more than the largest rotary position of a text. */
function reachOf({ tokens, positions }: GivenText): number {
  return positions === undefined ? tokens.length : most(Array.from(positions), Number) + 1;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function most<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((largest, item) => Math.max(largest, value(item)), 0);
}
