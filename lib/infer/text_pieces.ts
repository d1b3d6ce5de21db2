/**
 * Turns the tokens of a running text into pieces that can be shown: whole characters, and nothing of
 * a stop string.
 *
 * @module
 */

import type { StreamDecoder } from "../tokenizer/tokenizer.ts";
import type { PositionLogProbs } from "./log_probs.ts";
import type { FinishReason, RunningText } from "./running_text.ts";
import { StopStrings } from "./stop_strings.ts";

/** A text with its tokens and why it ended. */
export interface FinishedText {
  /** The continuation. */
  readonly text: string;
  /** Its tokens: those that lie wholly in the text. */
  readonly tokens: readonly number[];
  /** What the model thought of each of them, where that was kept. */
  readonly logProbs: readonly PositionLogProbs[];
  /** Why it ended. */
  readonly finishReason: FinishReason;
}

/**
 * Turns the tokens of one text into pieces of whole characters, and ends it at a stop string, of which
 * nothing is shown.
 */
export class TextPieces {
  /** Whether a stop string has come. */
  stopped = false;
  #text = "";
  readonly #tokens: number[] = [];
  readonly #decoder: StreamDecoder;
  readonly #stops: StopStrings;
  /** Length of the text, with what is held back, before each token. */
  readonly #starts: number[] = [];

  /** Takes a fresh decoder; the prompt decides how the first tokens read. */
  constructor(
    decoder: StreamDecoder,
    options: {
      readonly prompt: ArrayLike<number>;
      readonly stop?: readonly string[] | undefined;
    },
  ) {
    this.#decoder = decoder;
    this.#stops = new StopStrings(options.stop);
    // The continuation's text depends on what stands before it: spaces, unfinished characters.
    for (let i = 0; i < options.prompt.length; i++) decoder.push(options.prompt[i]!);
  }

  /** Takes the tokens that have come since the last call; returns the text that is certain. */
  take(running: RunningText): string {
    let shown = "";
    while (this.#tokens.length < running.tokens.length && !this.stopped) {
      const id = running.tokens[this.#tokens.length]!;
      this.#tokens.push(id);
      this.#starts.push(this.#text.length + shown.length + this.#stops.held.length);
      const result = this.#stops.push(this.#decoder.push(id));
      shown += result.text;
      this.stopped = result.stopped;
    }
    this.#text += shown;
    if (this.stopped) this.#dropEnd();
    return shown;
  }

  /** The text ends: what was held back is shown after all. */
  end(): string {
    if (this.stopped) return "";
    const result = this.#stops.push(this.#decoder.end());
    this.stopped = result.stopped;
    const rest = result.text + (result.stopped ? "" : this.#stops.end());
    this.#text += rest;
    if (this.stopped) this.#dropEnd();
    return rest;
  }

  /** The whole text, once it has ended. */
  finish(running: RunningText): FinishedText {
    return {
      text: this.#text,
      tokens: this.#tokens,
      logProbs: running.logProbs.slice(0, this.#tokens.length),
      finishReason: this.stopped ? "stop" : running.finished ?? "length",
    };
  }

  /** Drops the token that ended the text, and those before it that reach into the stop string. */
  #dropEnd(): void {
    do this.#tokens.pop(); while (
      this.#tokens.length > 0 && this.#starts[this.#tokens.length]! > this.#text.length
    );
  }
}
