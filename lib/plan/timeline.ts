/**
 * Lanes of work that run side by side: in each, one task after the other, none before what it waits for.
 *
 * @module
 */

/** Work on a lane. */
export interface Task {
  /** How long it takes. */
  readonly seconds: number;
  /** When what it waits for has ended. @default {0} */
  readonly after?: number;
  /** What it is, for those who look at the events. */
  readonly name?: string;
}

/** A task as it was done. */
export interface TimelineEvent<Lane extends string> {
  /** Where. */
  readonly lane: Lane;
  /** What. */
  readonly name: string;
  /** When it began. */
  readonly start: number;
  /** When it ended. */
  readonly end: number;
}

/** What lanes have done so far. */
export class Timeline<Lane extends string> {
  readonly #ends: Map<Lane, number> = new Map();
  readonly #busy: Map<Lane, number> = new Map();
  readonly #record: ((event: TimelineEvent<Lane>) => void) | undefined;

  /** `record` sees every task that takes time. */
  constructor(record?: (event: TimelineEvent<Lane>) => void) {
    this.#record = record;
  }

  /** Puts a task at the end of a lane; returns when it ends. */
  add(lane: Lane, { seconds, after = 0, name = lane }: Task): number {
    const end = Math.max(this.end(lane), after) + seconds;
    this.#ends.set(lane, end);
    this.#busy.set(lane, this.busy(lane) + seconds);
    if (seconds > 0) this.#record?.({ lane, name, start: end - seconds, end });
    return end;
  }

  /** When the last task of a lane ends. */
  end(lane: Lane): number {
    return this.#ends.get(lane) ?? 0;
  }

  /** Seconds in which a lane works. */
  busy(lane: Lane): number {
    return this.#busy.get(lane) ?? 0;
  }
}
