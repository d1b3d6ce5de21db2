/**
 * A small model that guesses what a large one will say.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { DecoderSession } from "../model/decoder.ts";
import type { KvSequence } from "../model/kv_pages.ts";
import { DRAFT_TOKENS, type Drafter } from "./drafter.ts";
import type { LanguageModel } from "./language_model.ts";

/** Rows of one forward pass over what the draft model has not seen. */
const ROWS = 512;

/** How a draft model runs. */
export interface DraftModelOptions {
  /** Positions that the text can have; the draft model guesses no further than its own. */
  readonly positions: number;
  /** Most guesses at once. @default {8} */
  readonly draftTokens?: number | undefined;
}

/** Guesses by the greedy choice of another model; one serves one text. */
export class DraftModel implements Drafter {
  readonly #session: DecoderSession;
  readonly #sequence: KvSequence;
  readonly #positions: number;
  /** Tokens whose keys and values the sequence holds. */
  #seen: number[] = [];

  /** Reserves the draft model's memory. @throws {BackendError} When there is none left. */
  constructor(model: LanguageModel, options: DraftModelOptions) {
    const { decoder } = model;
    const guesses = options.draftTokens ?? DRAFT_TOKENS;
    this.#positions = Math.min(options.positions, decoder.config.maxPositionEmbeddings);
    this.#session = decoder.session({
      rows: ROWS,
      positions: this.#positions + guesses,
      textPositions: this.#positions,
    });
    this.#sequence = this.#session.cache.pages.open();
  }

  /** The draft model's greedy continuation of `tokens`. */
  propose(tokens: readonly number[], limit: number): readonly number[] {
    const most = Math.min(limit, this.#positions - tokens.length);
    if (most <= 0) return [];
    this.#agree(tokens);
    const proposals: number[] = [];
    let next = this.#feed(tokens.slice(this.#seen.length));
    for (;;) {
      proposals.push(next);
      if (proposals.length === most) return proposals;
      next = this.#feed([next]);
    }
  }

  /** Gives the memory back. */
  close(): void {
    this.#session.close();
  }

  /** Forgets guesses that were wrong, and the last token, whose logits are needed again. */
  #agree(tokens: readonly number[]): void {
    let same = 0;
    while (same < this.#seen.length && this.#seen[same] === tokens[same]) same++;
    same = Math.min(same, tokens.length - 1);
    this.#session.cache.pages.trim(this.#sequence, same);
    this.#seen.length = same;
  }

  /** Appends tokens and returns the most likely next one. */
  #feed(tokens: readonly number[]): number {
    const session = this.#session;
    let rows = 0;
    for (let at = 0; at < tokens.length; at += rows) {
      const part = tokens.slice(at, at + session.rows);
      rows = part.length;
      session.forward([{ sequence: this.#sequence, tokens: part }]);
      this.#seen.push(...part);
    }
    let best = 0;
    for (const chunk of session.head.chunks([rows - 1])) {
      const logits = chunk.logits();
      for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
    }
    return best;
  }
}

/**
 * Refuses a draft model whose token ids mean something else.
 *
 * @throws {ConfigError} Naming what differs.
 */
export function checkDraftModel(model: LanguageModel, draft: LanguageModel): void {
  const [ours, theirs] = [model.decoder.config.vocabSize, draft.decoder.config.vocabSize];
  const refuse = (what: string) =>
    new ConfigError(`Cannot draft with ${quoted(draft.checkpoint.path)}: ${what}`, {
      hint: "take a smaller model of the same family, or --lookup",
    });
  if (ours !== theirs) throw refuse(`it has ${theirs} tokens, and the model has ${ours}`);
  const size = Math.min(model.tokenizer.vocabSize, draft.tokenizer.vocabSize);
  for (let id = 0; id < size; id++) {
    const [our, their] = [model.tokenizer.piece(id), draft.tokenizer.piece(id)];
    if (our === their) continue;
    throw refuse(`its token ${id} is ${quoted(their)}, and the model's is ${quoted(our)}`);
  }
}
