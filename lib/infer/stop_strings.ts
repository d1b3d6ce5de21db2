/**
 * Ends a streamed text where a stop string first occurs, without ever showing a part of one.
 *
 * @module
 */

/** What one push of text lets out. */
export interface StopResult {
  /** Text that can be shown: no stop string begins in it. */
  readonly text: string;
  /** Whether a stop string has occurred; nothing may be pushed afterwards. */
  readonly stopped: boolean;
}

/** Watches a stream of text for stop strings that may be cut over several pieces. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";

  /** Takes the strings that end the text; empty ones are refused. @throws {RangeError} */
  constructor(stops: readonly string[] = []) {
    if (stops.includes("")) throw new RangeError("Cannot stop at an empty string");
    this.#stops = stops;
  }

  /** Text that is held back because a stop string may have begun in it. */
  get held(): string {
    return this.#held;
  }

  /** Adds text and returns what can be shown; the earliest stop string in it ends the stream. */
  push(text: string): StopResult {
    const all = this.#held + text;
    const at = this.#earliest(all);
    if (at >= 0) {
      this.#held = "";
      return { text: all.slice(0, at), stopped: true };
    }
    const shown = all.length - this.#possibleStart(all);
    this.#held = all.slice(shown);
    return { text: all.slice(0, shown), stopped: false };
  }

  /** Ends the stream: what was held back is no stop string after all. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  #earliest(text: string): number {
    let earliest = -1;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (earliest < 0 || at < earliest)) earliest = at;
    }
    return earliest;
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #possibleStart(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let size = Math.min(stop.length - 1, text.length); size > longest; size--) {
        if (text.endsWith(stop.slice(0, size))) longest = size;
      }
    }
    return longest;
  }
}
