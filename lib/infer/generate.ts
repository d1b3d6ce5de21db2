/**
 * Continues one text, piece by piece.
 *
 * @module
 */

import type { DecoderSession } from "../model/decoder.ts";
import type { KvType } from "../model/kv_cache.ts";
import type { KvSequence } from "../model/kv_pages.ts";
import type { TokenConstraint } from "./constraint.ts";
import { DRAFT_TOKENS, type Drafter } from "./drafter.ts";
import type { LanguageModel } from "./language_model.ts";
import type { PositionLogProbs } from "./log_probs.ts";
import type { PromptCache } from "./prompt_cache.ts";
import type { FinishReason, RunningText, TextRequest } from "./running_text.ts";
import type { SamplingOptions } from "./sampler.ts";
import { Scheduler } from "./scheduler.ts";
import { TextPieces } from "./text_pieces.ts";

/** Rows of one forward pass over a prompt: enough to be bound by arithmetic, not by memory. */
export const PROMPT_ROWS = 512;

/** How texts are continued. */
export interface ContinueOptions {
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
  /** Most likely tokens whose log-probabilities are kept at each position; none without it. */
  readonly logProbs?: number | undefined;
  /** Positions of prompt and text together; by default what they need, at most the model's. */
  readonly context?: number | undefined;
  /** Element type of cached keys and values. @default {"f32"} */
  readonly kvType?: KvType | undefined;
  /** Ends the work early: the generator throws its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What to continue, and how. */
export interface GenerateOptions extends ContinueOptions {
  /** Token ids of the prompt, from {@linkcode LanguageModel.encodePrompt}. */
  readonly prompt: ArrayLike<number>;
  /** Which tokens may come next; made for this text alone. */
  readonly constraint?: TokenConstraint | undefined;
  /** Guesses tokens, so that one pass can confirm several; the text stays the same. */
  readonly drafter?: Drafter | undefined;
  /** Most guesses at once. @default {8} */
  readonly draftTokens?: number | undefined;
  /** Keys and values of prompts that came earlier. */
  readonly promptCache?: PromptCache | undefined;
  /** Called with the tokens of the prompt that are done, and all of them. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** How long what took. */
export interface GenerateTimings {
  /** From the start of the prompt to the first token, in milliseconds. */
  readonly promptMs: number;
  /** From the first token to the end, in milliseconds. */
  readonly decodeMs: number;
  /** Forward passes after the prompt. */
  readonly decodeSteps: number;
}

/** A text that has ended. */
export interface GeneratedText {
  /** The continuation. */
  readonly text: string;
  /** Its tokens: those that lie wholly in the text, without the one that ended it. */
  readonly tokens: readonly number[];
  /** Length of the prompt. */
  readonly promptTokens: number;
  /** `stop`: an end token or a stop string; `length`: the most tokens, or the end of the context. */
  readonly finishReason: FinishReason;
  /** What the model thought of each token; empty unless asked for. */
  readonly logProbs: readonly PositionLogProbs[];
  /** Tokens of the prompt whose keys and values came from the prompt cache. */
  readonly cachedTokens: number;
  /** Tokens that were guessed. */
  readonly draftedTokens: number;
  /** Guesses that were right. */
  readonly acceptedTokens: number;
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
 * ```ts
 * import { LanguageModel, openBackend } from "@llamero/llamero";
 *
 * const model = await LanguageModel.open("model/", { backend: await openBackend() });
 * const prompt = model.encodePrompt("Once upon a time");
 * for await (const piece of generate(model, { prompt, maxTokens: 64 })) console.log(piece);
 * ```
 */
export async function* generate(
  model: LanguageModel,
  options: GenerateOptions,
): AsyncGenerator<string, GeneratedText, void> {
  const { prompt, maxTokens, promptCache } = options;
  const context = options.context ?? model.decoder.config.maxPositionEmbeddings;
  const guesses = options.drafter === undefined ? 0 : options.draftTokens ?? DRAFT_TOKENS;
  const session = model.decoder.session({
    rows: Math.max(1 + guesses, Math.min(PROMPT_ROWS, prompt.length)),
    positions: Math.min(context, prompt.length + maxTokens),
    textPositions: context,
    kvType: options.kvType,
  });
  try {
    const prefix = prompt.length > context ? undefined : await promptCache?.load(session, prompt);
    return yield* continueText(model, { ...options, session, context, prefix });
  } finally {
    session.close();
  }
}

/** A text that is continued on a session of the caller's. */
export interface ContinueTextOptions extends GenerateOptions {
  /** Where it runs, alone. */
  readonly session: DecoderSession;
  /** Positions of prompt and text together. */
  readonly context: number;
  /** A sequence with the first tokens of the prompt. */
  readonly prefix?: KvSequence | undefined;
  /** Called when the text has ended, with its sequence, which the caller closes. */
  readonly keep?: ((sequence: KvSequence, tokens: readonly number[]) => void) | undefined;
}

/** {@linkcode generate} on a session that may go on living. */
export async function* continueText(
  model: LanguageModel,
  options: ContinueTextOptions,
): AsyncGenerator<string, GeneratedText, void> {
  const { prompt, session, prefix, keep, context, signal, draftTokens } = options;
  const scheduler = new Scheduler(session, { context, signal, draftTokens });
  const cachedTokens = prefix?.length ?? 0;
  let running: RunningText | undefined;
  let ended = false;
  try {
    running = scheduler.add(requestOf(model, { ...options, keep: true }));
    const pieces = new TextPieces(model.tokenizer.decoder({ skipSpecial: true }), options);
    const timings = yield* run(scheduler, { ...options, running, pieces });
    ended = true;
    return {
      ...pieces.finish(running),
      promptTokens: prompt.length,
      cachedTokens,
      draftedTokens: running.drafted,
      acceptedTokens: running.accepted,
      timings,
    };
  } finally {
    const sequence = running?.sequence ?? prefix;
    if (sequence && ended && keep) keep(sequence, [...Array.from(prompt), ...running!.tokens]);
    else if (sequence) session.cache.pages.close(sequence);
  }
}

interface RunOptions extends ContinueTextOptions {
  readonly running: RunningText;
  readonly pieces: TextPieces;
}

async function* run(
  scheduler: Scheduler,
  { running, pieces, prompt, session, progress, promptCache }: RunOptions,
): AsyncGenerator<string, GenerateTimings, void> {
  const start = performance.now();
  let first = start;
  let decodeSteps = 0;
  while (scheduler.busy && !pieces.stopped) {
    const isDecoding = running.promptDone === prompt.length;
    await scheduler.step();
    if (isDecoding) decodeSteps++;
    else {
      progress?.(running.promptDone, prompt.length);
      first = performance.now();
      const isDone = running.promptDone === prompt.length;
      if (isDone) await promptCache?.save(session, running.sequence!, prompt);
    }
    const piece = pieces.take(running);
    if (piece !== "") yield piece;
  }
  const rest = pieces.end();
  if (rest !== "") yield rest;
  return { promptMs: first - start, decodeMs: performance.now() - first, decodeSteps };
}

/** What a scheduler is asked for, with the model's end tokens. */
export function requestOf<Options extends ContinueOptions & Pick<TextRequest, "prompt">>(
  model: LanguageModel,
  options: Options,
): Options & TextRequest {
  return {
    ...options,
    endIds: options.ignoreEnd ? [] : model.endIds,
    banned: options.ignoreEnd ? model.endIds : [],
  };
}
