/**
 * One text on its way: what was asked for, what has come, and how its next token is chosen.
 *
 * @module
 */

import { RandomStream } from "../base/random.ts";
import type { KvSequence } from "../model/kv_pages.ts";
import type { TokenConstraint } from "./constraint.ts";
import type { Drafter } from "./drafter.ts";
import { logProbsOf, type PositionLogProbs } from "./log_probs.ts";
import { Sampler, type SamplingOptions } from "./sampler.ts";

/** A text to be continued. */
export interface TextRequest {
  /** Token ids of the prompt, at least one. */
  readonly prompt: ArrayLike<number>;
  /** Most tokens to generate. */
  readonly maxTokens: number;
  /** How tokens are chosen. */
  readonly sampling?: SamplingOptions | undefined;
  /** Seed of the draws. @default {0} */
  readonly seed?: number | undefined;
  /** Which of the seed's random streams: texts of one seed differ by it. @default {0} */
  readonly stream?: number | undefined;
  /** Tokens that end the text; they are not part of it. */
  readonly endIds?: readonly number[] | undefined;
  /** Tokens that are never chosen. */
  readonly banned?: readonly number[] | undefined;
  /** Which tokens may come next. */
  readonly constraint?: TokenConstraint | undefined;
  /** Guesses several tokens at once; the text stays the same. */
  readonly drafter?: Drafter | undefined;
  /** Most likely tokens whose log-probabilities are kept at each position; none without it. */
  readonly logProbs?: number | undefined;
  /**
   * A sequence of the session that holds the first tokens of the prompt, but not all of them; it
   * becomes the text's.
   */
  readonly prefix?: KvSequence | undefined;
  /** Whether the sequence stays open when the text ends, for the caller to close. @default {false} */
  readonly keep?: boolean | undefined;
}

/** Why a text ended: by itself, or because it was as long as it may be. */
export type FinishReason = "stop" | "length";

/** A text that a scheduler is continuing: what has come of it so far. */
export interface RunningText {
  /** What was asked for. */
  readonly request: TextRequest;
  /** Tokens that were generated. */
  readonly tokens: readonly number[];
  /** Tokens of the prompt that have been computed. */
  readonly promptDone: number;
  /** Why it ended; `undefined` while it runs. */
  readonly finished: FinishReason | undefined;
  /** What the model thought of each token, where the request asks for it. */
  readonly logProbs: readonly PositionLogProbs[];
  /** Its cached positions; open where the request keeps it or it still runs. */
  readonly sequence: KvSequence | undefined;
  /** Tokens that were guessed. */
  readonly drafted: number;
  /** Guesses that were right. */
  readonly accepted: number;
}

/** A text as its scheduler sees it. */
export class ScheduledText implements RunningText {
  /** What was asked for. */
  readonly request: TextRequest;
  /** Tokens that were generated. */
  readonly tokens: number[] = [];
  /** What the model thought of each. */
  readonly logProbs: PositionLogProbs[] = [];
  /** Prompt and generated tokens. */
  readonly all: number[];
  /** Most tokens to generate, as the context allows. */
  readonly maxTokens: number;
  /** Its cached positions. */
  sequence: KvSequence | undefined;
  /** Tokens that have been computed. */
  computed: number;
  /** Why it ended. */
  finished: FinishReason | undefined;
  /** Guesses for the tokens after the last. */
  proposals: readonly number[] = [];
  /** Tokens that were guessed. */
  drafted = 0;
  /** Guesses that were right. */
  accepted = 0;
  readonly #sampler: Sampler;
  readonly #random: RandomStream;
  readonly #endIds: ReadonlySet<number>;

  /** Takes a request whose prompt has tokens. @throws {ConfigError} For sampling out of range. */
  constructor(request: TextRequest, maxTokens: number) {
    this.request = request;
    this.all = Array.from(request.prompt);
    this.maxTokens = maxTokens;
    this.sequence = request.prefix;
    this.computed = request.prefix?.length ?? 0;
    this.#sampler = new Sampler(request.sampling);
    this.#random = new RandomStream(request.seed ?? 0, request.stream ?? 0);
    this.#endIds = new Set(request.endIds);
    if (maxTokens === 0) this.finished = "length";
  }

  /** Tokens of the prompt that have been computed. */
  get promptDone(): number {
    return Math.min(this.computed, this.request.prompt.length);
  }

  /** Whether the whole prompt has been computed. */
  get isDecoding(): boolean {
    return this.computed >= this.request.prompt.length;
  }

  /** Positions that are ever cached: the last token is never fed back. */
  get positions(): number {
    return this.request.prompt.length + this.maxTokens - 1;
  }

  /** Guesses that are worth making: the last token is not followed by any. */
  get proposalLimit(): number {
    return this.isDecoding ? this.maxTokens - this.tokens.length - 1 : 0;
  }

  /** Chooses the next token from logits [V], which it changes. */
  choose(logits: Float32Array): void {
    const { request } = this;
    const original = request.logProbs === undefined ? undefined : logits.slice();
    for (const id of request.banned ?? []) logits[id] = -Infinity;
    request.constraint?.mask(logits);
    const id = this.#sampler.sample(logits, {
      previous: this.all,
      draw: this.#sampler.draws ? this.#random.uniform(this.tokens.length) : 0,
    });
    if (this.#endIds.has(id)) {
      this.finished = "stop";
      return;
    }
    request.constraint?.accept(id);
    this.tokens.push(id);
    this.all.push(id);
    if (original) this.logProbs.push(logProbsOf(original, { id, count: request.logProbs! }));
    if (this.tokens.length >= this.maxTokens) this.finished = "length";
  }

  /** Whether the guess at `index` was the token that came, so that what follows it counts too. */
  confirms(index: number): boolean {
    const guess = this.proposals[index];
    const right = guess !== undefined && this.finished === undefined && this.all.at(-1) === guess;
    if (right) this.accepted++;
    return right;
  }
}
