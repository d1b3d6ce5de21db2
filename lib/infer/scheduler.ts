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
import type { DecoderSession } from "../model/decoder.ts";
import type { Span } from "../model/batch.ts";
import { DRAFT_TOKENS } from "./drafter.ts";
import { type RunningText, ScheduledText, type TextRequest } from "./running_text.ts";

/** A text's rows in a batch. */
interface Work {
  readonly text: ScheduledText;
  readonly span: Span;
}

/** How a {@linkcode Scheduler} runs. */
export interface SchedulerOptions {
  /** Positions that one text can have; more than one text shares the session's cache. */
  readonly context: number;
  /** Most guesses of one text's drafter at once. @default {8} */
  readonly draftTokens?: number | undefined;
  /** Stops between layers of a forward pass. */
  readonly signal?: AbortSignal | undefined;
}

/** Continues texts on one session, as many at a time as its rows and its cache allow. */
export class Scheduler {
  readonly #session: DecoderSession;
  readonly #context: number;
  readonly #draftTokens: number;
  readonly #eventLoop: EventLoop;
  #waiting: ScheduledText[] = [];
  #running: ScheduledText[] = [];

  /** Takes a session for itself. */
  constructor(session: DecoderSession, options: SchedulerOptions) {
    this.#session = session;
    this.#context = options.context;
    this.#draftTokens = options.draftTokens ?? DRAFT_TOKENS;
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
    if (request.prefix && request.prefix.length >= length) {
      throw new RangeError(
        "Cannot continue a prompt that is cached to its end: no row gives logits",
      );
    }
    const text = new ScheduledText(
      request,
      Math.min(request.maxTokens, this.#context - length + 1),
    );
    if (text.finished === undefined) this.#waiting.push(text);
    return text;
  }

  /** Ends a text where it is. */
  cancel(text: RunningText): void {
    this.#waiting = this.#waiting.filter((one) => one !== text);
    const running = this.#running.find((one) => one === text);
    if (running === undefined) return;
    this.#running = this.#running.filter((one) => one !== text);
    this.#end(running);
  }

  /** One forward pass; returns the texts that got a token or ended. */
  async step(): Promise<RunningText[]> {
    this.#admit();
    await this.#propose();
    const batch = this.#fill();
    if (batch.length === 0) return [];
    for (const _ of this.#session.layers(batch.map(({ span }) => span))) {
      const turn = this.#eventLoop.turn();
      if (turn !== undefined) await turn;
    }
    const advanced = this.#choose(batch);
    for (const text of advanced) if (text.finished !== undefined) this.#end(text);
    this.#running = this.#running.filter((text) => text.finished === undefined);
    await this.#eventLoop.turn();
    return advanced;
  }

  #end({ request, sequence }: ScheduledText): void {
    if (!request.keep) this.#session.cache.pages.close(sequence!);
  }

  /** Lets waiting texts begin, in order, while pages for their whole length are free. */
  #admit(): void {
    const { pages } = this.#session.cache;
    const pagesOf = (text: ScheduledText) => Math.ceil(text.positions / pages.pageSize);
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
      next.sequence ??= pages.open();
      this.#running.push(this.#waiting.shift()!);
    }
  }

  /** Asks for guesses where there is room to check them: every other text keeps its row. */
  async #propose(): Promise<void> {
    let left = this.#session.rows - this.#running.length;
    for (const text of this.#running) {
      const limit = Math.min(left, this.#draftTokens, text.proposalLimit);
      text.proposals = limit > 0 ? await text.request.drafter?.propose(text.all, limit) ?? [] : [];
      text.drafted += text.proposals.length;
      left -= text.proposals.length;
    }
  }

  /** Next tokens first, so that no prompt makes a running text wait; then prompts. */
  #fill(): Work[] {
    const batch: Work[] = [];
    let left = this.#session.rows;
    for (
      const text of [
        ...this.#running.filter((one) => one.isDecoding),
        ...this.#running.filter((one) => !one.isDecoding),
      ]
    ) {
      const tokens = [...text.all.slice(text.computed, text.computed + left), ...text.proposals];
      if (tokens.length === 0) break;
      batch.push({ text, span: { sequence: text.sequence!, tokens } });
      left -= tokens.length;
    }
    return batch;
  }

  /** Chooses tokens for every text whose last row was in the batch, after it and its right guesses. */
  #choose(batch: readonly Work[]): ScheduledText[] {
    const rows: { readonly row: number; readonly text: ScheduledText; readonly guess: number }[] =
      [];
    const advanced: ScheduledText[] = [];
    let row = 0;
    for (const { text, span } of batch) {
      row += span.tokens.length;
      text.computed += span.tokens.length - text.proposals.length;
      if (text.computed < text.all.length) continue;
      const first = row - 1 - text.proposals.length;
      for (let guess = 0; first + guess < row; guess++) {
        rows.push({ row: first + guess, text, guess });
      }
      advanced.push(text);
    }
    this.#chooseRows(rows);
    const { pages } = this.#session.cache;
    for (const text of advanced) {
      text.proposals = [];
      if (text.sequence!.length > text.computed) pages.trim(text.sequence!, text.computed);
    }
    return advanced;
  }

  /** Rows after a wrong guess are skipped: they continue a text that is not. */
  #chooseRows(rows: readonly { row: number; text: ScheduledText; guess: number }[]): void {
    const { vocabSize } = this.#session.decoder.config;
    const wrong = new Set<ScheduledText>();
    for (const chunk of this.#session.head.chunks(rows.map(({ row }) => row))) {
      const logits = chunk.logits();
      for (let i = 0; i < chunk.count; i++) {
        const { text, guess } = rows[chunk.first + i]!;
        if (wrong.has(text)) continue;
        text.choose(logits.subarray(i * vocabSize, (i + 1) * vocabSize));
        if (text.confirms(guess)) text.computed++;
        else wrong.add(text);
      }
    }
  }
}
