/**
 * How well a model predicts a text, alone or beside another model.
 *
 * perplexity = exp(mean of -log p(token | tokens before it)), over the second half of every window, so
 * that each token has at least half a window before it. Standard error by the delta method:
 * perplexity times the standard error of the mean. Source: Jelinek et al. 1977; the windows are those of
 * llama.cpp's llama-perplexity.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { EventLoop } from "../base/event_loop.ts";
import type { LanguageModel } from "../infer/language_model.ts";
import type { KvType } from "../model/kv_cache.ts";
import { type Estimate, estimate, judge, klDivergence, percentile } from "./distribution.ts";
import { windowChunks, type WindowRun } from "./window_logits.ts";
import { cutWindows, type TextWindow, type WindowOptions } from "./windows.ts";

/** How perplexity is measured. */
export interface PerplexityOptions extends WindowOptions {
  /** The text whose tokens are predicted. */
  readonly text: string;
  /** A model to compare with, on the same tokens. */
  readonly reference?: LanguageModel | undefined;
  /** Element type of cached keys and values. @default {"f32"} */
  readonly kvType?: KvType | undefined;
  /** Stops between layers. */
  readonly signal?: AbortSignal | undefined;
  /** Called after every window with the windows that are done. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** How well a model predicts a text: `exp` of the mean loss of a token. */
export interface Perplexity {
  /** exp(mean loss). */
  readonly perplexity: number;
  /** Standard error of it. */
  readonly standardError: number;
  /** Mean of -log p, in nats per token. */
  readonly loss: Estimate;
}

/** A model against a reference. */
export interface Comparison {
  /** The reference alone. */
  readonly reference: Perplexity;
  /** The model's loss less the reference's, token by token. */
  readonly difference: Estimate;
  /** KL(reference || model) in nats per token. */
  readonly klDivergence: Estimate;
  /** What 99 of 100 tokens' divergences do not exceed. */
  readonly klDivergence99: number;
  /** Share of tokens for which both models find the same one likeliest. */
  readonly sameTop: number;
}

/** What {@linkcode measurePerplexity} finds. */
export interface PerplexityResult extends Perplexity {
  /** Tokens that were judged. */
  readonly tokens: number;
  /** Windows that were run, and the tokens of each. */
  readonly windows: number;
  /** Tokens of a window. */
  readonly context: number;
  /** The comparison, where there is a reference. */
  readonly comparison?: Comparison;
}

/**
 * Measures the perplexity of a text.
 *
 * @throws {ConfigError} When the text is too short, or the reference has other tokens.
 * @throws {BackendError} When there is too little memory.
 */
export async function measurePerplexity(
  model: LanguageModel,
  options: PerplexityOptions,
): Promise<PerplexityResult> {
  const { reference, text, progress } = options;
  const windows = cutWindows(model, text, options);
  if (reference) checkSameTokens(windows, cutWindows(reference, text, options));
  const context = windows[0]!.tokens.length;
  const eventLoop = new EventLoop(options.signal);
  const open = (one: LanguageModel): WindowRun => ({
    session: one.decoder.session({ rows: context, positions: context, kvType: options.kvType }),
    eventLoop,
  });
  const tally = new Tally(windows);
  const run = open(model);
  try {
    const other = reference && open(reference);
    try {
      for (const [done, window] of windows.entries()) {
        if (other) await tally.addBoth(run, other, window);
        else await tally.add(run, window);
        progress?.(done + 1, windows.length);
      }
    } finally {
      other?.session.close();
    }
  } finally {
    run.session.close();
  }
  return { ...tally.result(), windows: windows.length, context };
}

function checkSameTokens(ours: readonly TextWindow[], theirs: readonly TextWindow[]): void {
  const same = ours.length === theirs.length && ours.every(({ tokens }, i) => {
    const other = theirs[i]!.tokens;
    return tokens.length === other.length && tokens.every((id, j) => id === other[j]);
  });
  if (same) return;
  throw new ConfigError("Cannot compare the models: their tokenizers cut the text differently", {
    hint: "take a reference of the same model, such as the one before it was quantized",
  });
}

/** Collects what both models say of every token. */
class Tally {
  readonly #losses: Float64Array;
  readonly #references: Float64Array;
  readonly #divergences: Float64Array;
  #count = 0;
  #compared = 0;
  #same = 0;

  constructor(windows: readonly TextWindow[]) {
    const count = windows.reduce((sum, { tokens, judgedFrom }) => {
      return sum + tokens.length - judgedFrom;
    }, 0);
    this.#losses = new Float64Array(count);
    this.#references = new Float64Array(count);
    this.#divergences = new Float64Array(count);
  }

  async add(run: WindowRun, window: TextWindow): Promise<void> {
    for await (const { logits, token } of rowsOf(run, window)) {
      this.#losses[this.#count++] = judge(logits, token).loss;
    }
  }

  /** Both models take the same rows in step: neither's logits are ever kept. */
  async addBoth(run: WindowRun, other: WindowRun, window: TextWindow): Promise<void> {
    const theirs = rowsOf(other, window);
    for await (const { logits, token } of rowsOf(run, window)) {
      const reference = (await theirs.next()).value!;
      const ours = judge(logits, token);
      const judged = judge(reference.logits, token);
      this.#losses[this.#count] = ours.loss;
      this.#references[this.#count] = judged.loss;
      this.#divergences[this.#count] = klDivergence(
        { logits: reference.logits, logZ: judged.logZ },
        { logits, logZ: ours.logZ },
      );
      if (ours.best === judged.best) this.#same++;
      this.#count++;
      this.#compared++;
    }
    // Ends the generator, so that it gives its pages back.
    await theirs.return(undefined);
  }

  result(): Omit<PerplexityResult, "windows" | "context"> {
    const own = { ...perplexityOf(this.#losses), tokens: this.#count };
    if (this.#compared === 0) return own;
    const difference = this.#losses.map((loss, i) => loss - this.#references[i]!);
    return {
      ...own,
      comparison: {
        reference: perplexityOf(this.#references),
        difference: estimate(difference),
        klDivergence: estimate(this.#divergences),
        klDivergence99: percentile(this.#divergences, 0.99),
        sameTop: this.#same / this.#compared,
      },
    };
  }
}

interface Row {
  readonly logits: Float32Array;
  /** The token that the row predicts. */
  readonly token: number;
}

async function* rowsOf(run: WindowRun, window: TextWindow): AsyncGenerator<Row, undefined, void> {
  const { vocabSize } = run.session.decoder.config;
  for await (const chunk of windowChunks(run, window)) {
    const logits = chunk.logits();
    for (let i = 0; i < chunk.count; i++) {
      yield {
        logits: logits.subarray(i * vocabSize, (i + 1) * vocabSize),
        token: window.tokens[chunk.first + i + 1]!,
      };
    }
  }
}

function perplexityOf(losses: Float64Array): Perplexity {
  const loss = estimate(losses);
  const perplexity = Math.exp(loss.mean);
  return { perplexity, standardError: perplexity * loss.standardError, loss };
}
