/**
 * Lets the event loop run now and then during long computations, so that signals, timers and other
 * work of the process are not kept waiting.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/** Longest stretch without a turn of the event loop, where steps are shorter than that. */
const STRETCH_MS = 4;

/**
 * Longest stretch without a turn that waits for a timer. Deno looks for signals and files that are ready
 * where it waits: of turns that do not, only one in dozens does.
 */
const WAITING_STRETCH_MS = 250;

/** Gives the event loop a turn when the last one is some milliseconds ago. */
export class EventLoop {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();
  #waited = performance.now();

  /** Watches a signal too: an aborted one ends the work at the next turn. */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * What to await before going on; `undefined`, most of the time, when no turn is due.
   *
   * @throws The signal's reason, when it has been aborted.
   */
  turn(): Promise<void> | undefined {
    this.#signal?.throwIfAborted();
    return performance.now() - this.#last < STRETCH_MS ? undefined : this.#turn();
  }

  async #turn(): Promise<void> {
    const waits = performance.now() - this.#waited >= WAITING_STRETCH_MS;
    await new Promise<void>((resolve) => waits ? setTimeout(resolve, 0) : setImmediate(resolve));
    this.#last = performance.now();
    if (waits) this.#waited = this.#last;
    this.#signal?.throwIfAborted();
  }
}
