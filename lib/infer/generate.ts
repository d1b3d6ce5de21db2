/**
 * Continues one text, piece by piece.
 *
 * @module
 */

import type { DecoderSession } from "../model/decoder.ts";
import type { KvType } from "../model/kv_cache.ts";
import type { StreamDecoder } from "../tokenizer/tokenizer.ts";
import type { LanguageModel } from "./language_model.ts";
import type { SamplingOptions } from "./sampler.ts";
import { type FinishReason, type RunningText, Scheduler } from "./scheduler.ts";
import { StopStrings } from "./stop_strings.ts";

/** Rows of one forward pass over a prompt: enough to be bound by arithmetic, not by memory. */
export const PROMPT_ROWS = 512;

/** What to continue, and how. */
export interface GenerateOptions {
  /** Token ids of the prompt, from {@linkcode LanguageModel.encodePrompt}. */
  readonly prompt: ArrayLike<number>;
  /** Most tokens to generate. */
  readonly maxTokens: number;
  /** How tokens are chosen. */
  readonly sampling?: SamplingOptions | undefined;
  /** Seed of the draws. @default {0} */
  readonly seed?: number | undefined;
  /** Strings that end the text; they are not part of it. */
  readonly stop?: readonly string[] | undefined;
  /** Whether end tokens are never chosen, so that the text goes on. @default {false} */
  readonly ignoreEnd?: boolean | undefined;
  /** Positions of prompt and text together; by default what they need, at most the model's. */
  readonly context?: number | undefined;
  /** Element type of cached keys and values. @default {"f32"} */
  readonly kvType?: KvType | undefined;
  /** Ends the work early: the generator throws its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the tokens of the prompt that are done, and all of them. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** How long what took. */
export interface GenerateTimings {
  /** From the start of the prompt to the first token, in milliseconds. */
  readonly promptMs: number;
  /** From the first token to the end, in milliseconds. */
  readonly decodeMs: number;
  /** Forward passes of one token after the prompt. */
  readonly decodeSteps: number;
}

/** A text that has ended. */
export interface GeneratedText {
  /** The continuation. */
  readonly text: string;
  /** Its tokens: those that lie wholly in the text, without the one that ended it. */
  readonly tokens: readonly number[];
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** `stop`: an end token or a stop string; `length`: the most tokens, or the end of the context. */
  readonly finishReason: FinishReason;
  /** How long it took. */
  readonly timings: GenerateTimings;
}

/**
 * Yields the continuation of a prompt as it comes, whole characters only, and returns all of it.
 *
 * @throws {ConfigError} When the prompt is longer than the context.
 * @throws {BackendError} When there is too little memory for the cache.
 *
 * @example
 * ```ts ignore
 * const model = await LanguageModel.open("model/", { backend: await openBackend() });
 * const prompt = model.encodePrompt("Once upon a time");
 * for await (const piece of generate(model, { prompt, maxTokens: 64 })) console.log(piece);
 * ```
 */
export async function* generate(
  model: LanguageModel,
  options: GenerateOptions,
): AsyncGenerator<string, GeneratedText, void> {
  const { prompt, maxTokens } = options;
  const context = options.context ?? model.decoder.config.maxPositionEmbeddings;
  const session = model.decoder.session({
    rows: Math.max(1, Math.min(PROMPT_ROWS, prompt.length)),
    positions: Math.min(context, prompt.length + maxTokens),
    kvType: options.kvType,
  });
  try {
    return yield* run(model, { ...options, session, context });
  } finally {
    session.close();
  }
}

interface RunOptions extends GenerateOptions {
  readonly session: DecoderSession;
  readonly context: number;
}

async function* run(
  model: LanguageModel,
  options: RunOptions,
): AsyncGenerator<string, GeneratedText, void> {
  const scheduler = new Scheduler(options.session, {
    context: options.context,
    signal: options.signal,
  });
  const running = scheduler.add({
    ...options,
    endIds: options.ignoreEnd ? [] : model.endIds,
    banned: options.ignoreEnd ? model.endIds : [],
  });
  const pieces = new Pieces(model.tokenizer.decoder({ skipSpecial: true }), options);
  const start = performance.now();
  let first = start;
  let decodeSteps = 0;
  while (scheduler.busy && !pieces.stopped) {
    const isDecoding = running.promptDone === options.prompt.length;
    await scheduler.step();
    if (isDecoding) decodeSteps++;
    else {
      options.progress?.(running.promptDone, options.prompt.length);
      first = performance.now();
    }
    const piece = pieces.take(running);
    if (piece !== "") yield piece;
  }
  const rest = pieces.end();
  if (rest !== "") yield rest;
  return {
    text: pieces.text,
    tokens: pieces.tokens,
    promptTokens: options.prompt.length,
    finishReason: pieces.stopped ? "stop" : running.finished ?? "length",
    timings: { promptMs: first - start, decodeMs: performance.now() - first, decodeSteps },
  };
}

/** Turns the tokens of a running text into pieces that can be shown. */
class Pieces {
  readonly tokens: number[] = [];
  text = "";
  stopped = false;
  readonly #decoder: StreamDecoder;
  readonly #stops: StopStrings;
  /** Length of the text, with what is held back, before each token. */
  readonly #starts: number[] = [];

  constructor(decoder: StreamDecoder, options: Pick<GenerateOptions, "prompt" | "stop">) {
    this.#decoder = decoder;
    this.#stops = new StopStrings(options.stop);
    // The continuation's text depends on what stands before it: spaces, unfinished characters.
    for (let i = 0; i < options.prompt.length; i++) decoder.push(options.prompt[i]!);
  }

  /** Takes the tokens that have come since the last call; returns the text that is certain. */
  take(running: RunningText): string {
    let shown = "";
    while (this.tokens.length < running.tokens.length && !this.stopped) {
      const id = running.tokens[this.tokens.length]!;
      this.tokens.push(id);
      this.#starts.push(this.text.length + shown.length + this.#stops.held.length);
      const result = this.#stops.push(this.#decoder.push(id));
      shown += result.text;
      this.stopped = result.stopped;
    }
    this.text += shown;
    if (this.stopped) this.#dropEnd();
    return shown;
  }

  /** The text ends: what was held back is shown after all. */
  end(): string {
    if (this.stopped) return "";
    const result = this.#stops.push(this.#decoder.end());
    this.stopped = result.stopped;
    const rest = result.text + (result.stopped ? "" : this.#stops.end());
    this.text += rest;
    if (this.stopped) this.#dropEnd();
    return rest;
  }

  /** Drops the token that ended the text, and those before it that reach into the stop string. */
  #dropEnd(): void {
    do this.tokens.pop(); while (
      this.tokens.length > 0 && this.#starts[this.tokens.length]! > this.text.length
    );
  }
}
