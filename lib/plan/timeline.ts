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
}

/** What lanes have done so far. */
export class Timeline<Lane extends string> {
  readonly #ends: Map<Lane, number> = new Map();
  readonly #busy: Map<Lane, number> = new Map();

  /** Puts a task at the end of a lane; returns when it ends. */
  add(lane: Lane, { seconds, after = 0 }: Task): number {
    const end = Math.max(this.end(lane), after) + seconds;
    this.#ends.set(lane, end);
    this.#busy.set(lane, this.busy(lane) + seconds);
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
