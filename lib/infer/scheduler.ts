/**
 * Runs any number of texts through one session: each forward pass takes the next token of every
 * running text and fills the rows that are left with waiting prompts.
 *
 * A text comes out the same alone and beside others: rows do not see one another, and each text
 * draws from a random stream of its own. Source: Yu et al. 2022 (iteration-level scheduling).
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { EventLoop } from "../base/event_loop.ts";
import { RandomStream } from "../base/random.ts";
import type { DecoderSession } from "../model/decoder.ts";
import type { Span } from "../model/batch.ts";
import type { KvSequence } from "../model/kv_pages.ts";
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
}

/** Why a text ended: by itself, or because it was as long as it may be. */
export type FinishReason = "stop" | "length";

/** A text on its way. */
export interface RunningText {
  /** What was asked for. */
  readonly request: TextRequest;
  /** Tokens that were generated. */
  readonly tokens: readonly number[];
  /** Tokens of the prompt that have been computed. */
  readonly promptDone: number;
  /** Why it ended; `undefined` while it runs. */
  readonly finished: FinishReason | undefined;
}

class Text implements RunningText {
  readonly request: TextRequest;
  readonly tokens: number[] = [];
  readonly all: number[];
  readonly sampler: Sampler;
  readonly random: RandomStream;
  readonly endIds: ReadonlySet<number>;
  readonly maxTokens: number;
  sequence: KvSequence | undefined;
  computed = 0;
  finished: FinishReason | undefined;

  constructor(request: TextRequest, maxTokens: number) {
    this.request = request;
    this.all = Array.from(request.prompt);
    this.sampler = new Sampler(request.sampling);
    this.random = new RandomStream(request.seed ?? 0, request.stream ?? 0);
    this.endIds = new Set(request.endIds);
    this.maxTokens = maxTokens;
    if (maxTokens === 0) this.finished = "length";
  }

  get promptDone(): number {
    return Math.min(this.computed, this.request.prompt.length);
  }

  /** Positions that are ever cached: the last token is never fed back. */
  get positions(): number {
    return this.request.prompt.length + this.maxTokens - 1;
  }

  choose(logits: Float32Array): void {
    for (const id of this.request.banned ?? []) logits[id] = -Infinity;
    const id = this.sampler.sample(logits, {
      previous: this.all,
      draw: this.sampler.draws ? this.random.uniform(this.tokens.length) : 0,
    });
    if (this.endIds.has(id)) {
      this.finished = "stop";
      return;
    }
    this.tokens.push(id);
    this.all.push(id);
    if (this.tokens.length >= this.maxTokens) this.finished = "length";
  }
}

/** How a {@linkcode Scheduler} runs. */
export interface SchedulerOptions {
  /** Positions that one text can have; more than one text shares the session's cache. */
  readonly context: number;
  /** Stops between layers of a forward pass. */
  readonly signal?: AbortSignal | undefined;
}

/** Continues texts on one session, as many at a time as its rows and its cache allow. */
export class Scheduler {
  readonly #session: DecoderSession;
  readonly #context: number;
  readonly #eventLoop: EventLoop;
  #waiting: Text[] = [];
  #running: Text[] = [];

  /** Takes a session for itself. */
  constructor(session: DecoderSession, options: SchedulerOptions) {
    this.#session = session;
    this.#context = options.context;
    this.#eventLoop = new EventLoop(options.signal);
  }

  /** Whether a text waits or runs. */
  get busy(): boolean {
    return this.#waiting.length + this.#running.length > 0;
  }

  /**
   * Adds a text; it begins when there is room. Its length is limited by the context too.
   *
   * @throws {ConfigError} When the prompt is longer than the context.
   */
  add(request: TextRequest): RunningText {
    const { length } = request.prompt;
    if (length === 0) throw new RangeError("Cannot continue a prompt without tokens");
    if (length > this.#context) {
      throw new ConfigError(
        `Cannot continue the prompt: it has ${length} tokens, ` +
          `and the context holds ${this.#context}`,
        { hint: "shorten the prompt, or raise --context up to what the model was trained for" },
      );
    }
    const text = new Text(request, Math.min(request.maxTokens, this.#context - length + 1));
    if (text.finished === undefined) this.#waiting.push(text);
    return text;
  }

  /** Ends a text where it is. */
  cancel(text: RunningText): void {
    this.#waiting = this.#waiting.filter((one) => one !== text);
    this.#running = this.#running.filter((one) => {
      if (one === text) this.#session.cache.pages.close(one.sequence!);
      return one !== text;
    });
  }

  /** One forward pass; returns the texts that got a token or ended. */
  async step(): Promise<RunningText[]> {
    this.#admit();
    const batch = this.#fill();
    if (batch.length === 0) return [];
    for (const _ of this.#session.layers(batch.map(({ span }) => span))) {
      const turn = this.#eventLoop.turn();
      if (turn !== undefined) await turn;
    }
    const advanced = this.#choose(batch);
    for (const { finished, sequence } of advanced) {
      if (finished !== undefined) this.#session.cache.pages.close(sequence!);
    }
    this.#running = this.#running.filter((text) => text.finished === undefined);
    await this.#eventLoop.turn();
    return advanced;
  }

  /** Lets waiting texts begin, in order, while pages for their whole length are free. */
  #admit(): void {
    const { pages } = this.#session.cache;
    const pagesOf = (text: Text) => Math.ceil(text.positions / pages.pageSize);
    let reserved = this.#running.reduce((sum, text) => sum + pagesOf(text), 0);
    while (this.#waiting.length > 0 && this.#running.length < this.#session.sequences) {
      const next = this.#waiting[0]!;
      if (reserved + pagesOf(next) > pages.pageCount) {
        if (this.#running.length > 0) return;
        throw new RangeError(
          `Cannot run a text of ${next.positions} positions: the cache has ${pages.pageCount} ` +
            `pages of ${pages.pageSize}`,
        );
      }
      reserved += pagesOf(next);
      next.sequence = pages.open();
      this.#running.push(this.#waiting.shift()!);
    }
  }

  /** Next tokens first, so that no prompt makes a running text wait; then prompts. */
  #fill(): { text: Text; span: Span }[] {
    const batch: { text: Text; span: Span }[] = [];
    let left = this.#session.rows;
    const isDecoding = (text: Text) => text.computed >= text.request.prompt.length;
    for (
      const text of [
        ...this.#running.filter(isDecoding),
        ...this.#running.filter((one) => !isDecoding(one)),
      ]
    ) {
      const tokens = text.all.slice(text.computed, text.computed + left);
      if (tokens.length === 0) break;
      batch.push({ text, span: { sequence: text.sequence!, tokens } });
      left -= tokens.length;
    }
    return batch;
  }

  /** Chooses a token for every text whose last row was in the batch. */
  #choose(batch: readonly { text: Text; span: Span }[]): Text[] {
    const rows: number[] = [];
    const texts: Text[] = [];
    let row = 0;
    for (const { text, span } of batch) {
      row += span.tokens.length;
      text.computed += span.tokens.length;
      if (text.computed < text.all.length) continue;
      rows.push(row - 1);
      texts.push(text);
    }
    const { vocabSize } = this.#session.decoder.config;
    for (const chunk of this.#session.head.chunks(rows)) {
      const logits = chunk.logits();
      for (let i = 0; i < chunk.count; i++) {
        const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize);
        texts[chunk.first + i]!.choose(row);
      }
    }
    return texts;
  }
}
