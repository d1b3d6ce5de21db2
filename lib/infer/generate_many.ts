/**
 * Continues many texts at once: each comes out as it would alone, and weights are read once for all
 * of those that run together.
 *
 * @module
 */

import type { SessionOptions } from "../model/decoder.ts";
import { KV_PAGE_SIZE } from "../model/kv_cache.ts";
import { type ContinueOptions, PROMPT_ROWS, requestOf } from "./generate.ts";
import type { TokenGrammar } from "./grammar/grammar_constraint.ts";
import type { LanguageModel } from "./language_model.ts";
import type { RunningText } from "./running_text.ts";
import { Scheduler } from "./scheduler.ts";
import { type FinishedText, TextPieces } from "./text_pieces.ts";

/** Texts that run together where nothing else is asked for. */
const TOGETHER = 8;

/** How many texts are continued. */
export interface GenerateManyOptions extends ContinueOptions {
  /** Token ids of each prompt. */
  readonly prompts: readonly ArrayLike<number>[];
  /** Most texts that run together. @default {8} */
  readonly together?: number | undefined;
  /** What every text has to follow. */
  readonly grammar?: TokenGrammar | undefined;
  /** Called with the texts that have ended, and all of them. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** One of many texts, ended. */
export interface OneOfMany extends FinishedText {
  /** Its number, from 0. */
  readonly index: number;
  /** Length of its prompt. */
  readonly promptTokens: number;
}

/**
 * Yields the continuations in the order of their prompts, each as soon as it and those before it have
 * ended.
 *
 * @throws {ConfigError} When a prompt is longer than the context; before anything is computed.
 * @throws {BackendError} When there is too little memory for the cache.
 */
export async function* generateMany(
  model: LanguageModel,
  options: GenerateManyOptions,
): AsyncGenerator<OneOfMany, void, void> {
  const { prompts, signal } = options;
  if (prompts.length === 0) return;
  const context = options.context ?? model.decoder.config.maxPositionEmbeddings;
  const session = model.decoder.session(sessionOf(options, context));
  try {
    const scheduler = new Scheduler(session, { context, signal });
    const texts = prompts.map((prompt): OnItsWay => ({
      running: scheduler.add(
        requestOf(model, { ...options, prompt, constraint: options.grammar?.constraint(prompt) }),
      ),
      pieces: new TextPieces(model.tokenizer.decoder({ skipSpecial: true }), {
        prompt,
        stop: options.stop,
      }),
      ended: false,
    }));
    let [next, done] = [0, 0];
    for (;;) {
      done += takeAll(scheduler, texts, next);
      for (; texts[next]?.ended; next++) yield finished(texts[next]!, next);
      options.progress?.(done, texts.length);
      if (next === texts.length) return;
      await scheduler.step();
    }
  } finally {
    session.close();
  }
}

interface OnItsWay {
  readonly running: RunningText;
  readonly pieces: TextPieces;
  ended: boolean;
}

/** Room for the longest texts that can run together. */
function sessionOf(options: GenerateManyOptions, context: number): SessionOptions {
  const pages = options.prompts
    .map(({ length }) => Math.ceil(Math.min(context, length + options.maxTokens) / KV_PAGE_SIZE))
    .sort((a, b) => b - a)
    .slice(0, options.together ?? TOGETHER);
  const longest = options.prompts.reduce((sum, { length }) => Math.max(sum, length), 0);
  return {
    rows: Math.max(pages.length, Math.min(PROMPT_ROWS, longest * pages.length)),
    sequences: pages.length,
    positions: pages.reduce((sum, count) => sum + count, 0) * KV_PAGE_SIZE,
    textPositions: context,
    kvType: options.kvType,
  };
}

/** Takes what has come of every text; returns how many have ended by it. */
function takeAll(scheduler: Scheduler, texts: readonly OnItsWay[], from: number): number {
  let count = 0;
  for (const text of texts.slice(from)) {
    if (text.ended) continue;
    text.pieces.take(text.running);
    if (text.pieces.stopped) scheduler.cancel(text.running);
    else if (text.running.finished !== undefined) text.pieces.end();
    else continue;
    text.ended = true;
    count++;
  }
  return count;
}

function finished({ pieces, running }: OnItsWay, index: number): OneOfMany {
  return { index, ...pieces.finish(running), promptTokens: running.request.prompt.length };
}
