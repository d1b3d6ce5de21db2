/**
 * The logits of a model over windows of text.
 *
 * @module
 */

import type { EventLoop } from "../base/event_loop.ts";
import type { DecoderSession } from "../model/decoder.ts";
import type { HeadChunk } from "../model/head.ts";
import type { TextWindow } from "./windows.ts";

/** Where a window is run. */
export interface WindowRun {
  /** A session of the model, for one sequence at a time. */
  readonly session: DecoderSession;
  /** Gives other work its turn. */
  readonly eventLoop: EventLoop;
}

/** Runs a window's tokens; afterwards the head knows the last `session.rows` of them. */
async function* forwardParts(
  { session, eventLoop }: WindowRun,
  tokens: Int32Array,
): AsyncGenerator<{ readonly first: number; readonly count: number }, void, void> {
  const { pages } = session.cache;
  const sequence = pages.open();
  try {
    for (let first = 0; first < tokens.length; first += session.rows) {
      const part = Array.from(tokens.subarray(first, first + session.rows));
      for (const _ of session.layers([{ sequence, tokens: part }])) await eventLoop.turn();
      yield { first, count: part.length };
    }
  } finally {
    pages.close(sequence);
  }
}

/** Runs a window for what its products see. */
export async function forwardWindow(run: WindowRun, window: TextWindow): Promise<void> {
  for await (const _ of forwardParts(run, window.tokens));
}

/**
 * Yields the head's chunks over the rows that predict judged tokens: row `first + i` of a chunk
 * predicts token `first + i + 1` of the window.
 */
export async function* windowChunks(
  run: WindowRun,
  { tokens, judgedFrom }: TextWindow,
): AsyncGenerator<HeadChunk, void, void> {
  for await (const { first, count } of forwardParts(run, tokens)) {
    const from = Math.max(first, judgedFrom - 1);
    const end = Math.min(first + count, tokens.length - 1);
    if (from >= end) continue;
    const rows = Int32Array.from({ length: end - from }, (_, i) => from - first + i);
    for (const chunk of run.session.head.chunks(rows)) {
      yield { ...chunk, first: from + chunk.first };
      await run.eventLoop.turn();
    }
  }
}
