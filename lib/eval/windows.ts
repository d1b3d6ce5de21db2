/**
 * A long text cut into windows of a model's context, as llama.cpp's `llama-perplexity` cuts it.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import type { LanguageModel } from "../infer/language_model.ts";

/** Tokens of a window where nothing else is asked for. */
const WINDOW_TOKENS = 512;

/** One window of a text. */
export interface TextWindow {
  /** Its tokens; the first is the begin token where the model's texts have one. */
  readonly tokens: Int32Array;
  /** The first token that the model has enough text before to be judged by. */
  readonly judgedFrom: number;
}

/** How a text is cut. */
export interface WindowOptions {
  /** Tokens of a window. @default {512, or the model's context where that is less} */
  readonly context?: number | undefined;
  /** Whether every token but the first counts, instead of the second half. @default {false} */
  readonly all?: boolean | undefined;
}

/**
 * Cuts a text into windows that do not overlap; what is left at the end is not used, unless it is all
 * there is.
 *
 * @throws {ConfigError} When the text has less than two tokens, or the context is longer than the
 * model's.
 */
export function cutWindows(
  model: LanguageModel,
  text: string,
  options: WindowOptions = {},
): TextWindow[] {
  const { tokenizer, decoder: { config } } = model;
  const context = options.context ?? Math.min(WINDOW_TOKENS, config.maxPositionEmbeddings);
  if (context > config.maxPositionEmbeddings) {
    throw new ConfigError(
      `Cannot take windows of ${context} tokens: the model was made for ` +
        `${config.maxPositionEmbeddings}`,
      { hint: "take a smaller --context" },
    );
  }
  const bos = tokenizer.addBos ? tokenizer.bosId : undefined;
  const ids = model.checkedIds(tokenizer.encode(text, { bos: bos !== undefined }));
  if (ids.length < 2) {
    throw new ConfigError(
      `Cannot judge a model by this text: it has ${ids.length} tokens, at least 2 were wanted`,
    );
  }
  const length = Math.min(context, ids.length);
  return Array.from({ length: Math.floor(ids.length / length) }, (_, i) => {
    const tokens = Int32Array.from(ids.subarray(i * length, (i + 1) * length));
    if (bos !== undefined) tokens[0] = bos;
    const half = Math.max(1, Math.min(length - 1, (length >> 1) + 1));
    return { tokens, judgedFrom: options.all ? 1 : half };
  });
}
