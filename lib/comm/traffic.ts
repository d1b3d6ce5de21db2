/**
 * What a communicator has sent and waited for, counted where it happens.
 *
 * @module
 */

import type { CallKind } from "./call.ts";

/** Counts of one kind of call. */
export interface TrafficCount {
  /** Calls begun. */
  readonly calls: number;
  /** Messages sent. */
  readonly messages: number;
  /** Bytes sent, envelopes not counted (the transport counts those too). */
  readonly bytes: number;
  /** Milliseconds spent in waiting: communication that stayed exposed. */
  readonly waitedMs: number;
}

/** Counts by kind of call. */
export class Traffic {
  readonly #kinds: Map<CallKind, { -readonly [key in keyof TrafficCount]: number }> = new Map();

  /** Adds to the counts of a kind. */
  add(kind: CallKind, counted: Partial<TrafficCount>): void {
    let counts = this.#kinds.get(kind);
    if (counts === undefined) {
      this.#kinds.set(kind, counts = { calls: 0, messages: 0, bytes: 0, waitedMs: 0 });
    }
    counts.calls += counted.calls ?? 0;
    counts.messages += counted.messages ?? 0;
    counts.bytes += counted.bytes ?? 0;
    counts.waitedMs += counted.waitedMs ?? 0;
  }

  /** The counts so far; kinds that were never called are not there. */
  counts(): Partial<Record<CallKind, TrafficCount>> {
    return Object.fromEntries([...this.#kinds].map(([kind, counts]) => [kind, { ...counts }]));
  }
}
