/**
 * A pipeline's step on paper: when each rank computes, waits and keeps what, from the schedule and the
 * time of every pass. It finds a schedule that could not end, too.
 *
 * @module
 */

import {
  passBefore,
  type PipelineAction,
  pipelineActions,
  type PipelinePass,
  pipelinePasses,
  type PipelineShape,
} from "./pipeline_schedule.ts";

/** What passes and messages take, in any unit of time. */
export interface PipelineTimes {
  /** Time of a pass through a stage. */
  readonly pass: (pass: PipelinePass) => number;
  /** Time from a message's sending until it has arrived; 0 without. */
  readonly message?: number;
}

/** A pass as it was computed. */
export interface ReplayedPass extends PipelinePass {
  /** When it began. */
  readonly start: number;
  /** When it had ended. */
  readonly end: number;
}

/** A step on paper. */
export interface PipelineReplay {
  /** Time of the step. */
  readonly total: number;
  /** Time in which each rank computes. */
  readonly busy: readonly number[];
  /** Passes of each rank. */
  readonly passes: readonly (readonly ReplayedPass[])[];
  /** Time in which ranks wait over the time in which they compute, the mean over the ranks. */
  readonly bubble: number;
}

const keyOf = ({ kind, stage, microBatch }: PipelinePass) => `${kind} ${stage} ${microBatch}`;

/** One rank on its way through its actions. */
class ReplayedRank {
  readonly passes: ReplayedPass[] = [];
  busy = 0;
  now = 0;
  readonly #actions: readonly PipelineAction[];
  #next = 0;

  constructor(actions: readonly PipelineAction[]) {
    this.#actions = actions;
  }

  get action(): PipelineAction | undefined {
    return this.#actions[this.#next];
  }

  /** Goes on as far as what has arrived allows; returns whether it went on at all. */
  advance(arrived: Map<string, number>, shape: PipelineShape, times: PipelineTimes): boolean {
    const before = this.#next;
    for (let action = this.action; action !== undefined; action = this.#step()) {
      if ("reader" in action) {
        if (action.kind === "receive") continue;
        arrived.set(keyOf(action.reader), this.now + (times.message ?? 0));
      } else {
        const source = passBefore(action, shape);
        const away = source !== undefined && source.stage !== action.stage;
        const ready = away ? arrived.get(keyOf(action)) : this.now;
        if (ready === undefined) break;
        const start = Math.max(this.now, ready);
        const time = times.pass(action);
        this.now = start + time;
        this.busy += time;
        this.passes.push({ ...action, start, end: this.now });
      }
    }
    return this.#next > before;
  }

  #step(): PipelineAction | undefined {
    return this.#actions[++this.#next];
  }
}

/**
 * Replays the step of a pipeline whose sends do not wait.
 *
 * @throws {RangeError} Where ranks would wait for each other for ever: names the pass of each.
 */
export function replayPipeline(shape: PipelineShape, times: PipelineTimes): PipelineReplay {
  const ranks = Array.from(
    { length: shape.ranks },
    (_, rank) => new ReplayedRank(pipelineActions(pipelinePasses(rank, shape), shape)),
  );
  const arrived = new Map<string, number>();
  while (ranks.some(({ action }) => action !== undefined)) {
    const moved = ranks.filter((rank) => rank.advance(arrived, shape, times));
    if (moved.length > 0) continue;
    const stuck = ranks.flatMap(({ action }, rank) =>
      action === undefined ? [] : [`rank ${rank} before ${keyOf(action as PipelinePass)}`]
    );
    throw new RangeError(`a pipeline that cannot end: ${stuck.join(", ")}`);
  }
  const total = Math.max(...ranks.map(({ now }) => now));
  const busy = ranks.map((rank) => rank.busy);
  const idle = busy.reduce((sum, own) => sum + (total - own) / own, 0);
  return { total, busy, passes: ranks.map(({ passes }) => passes), bubble: idle / shape.ranks };
}

/**
 * Idle time over computing time of a pipeline whose stages take equal times: (p - 1) / (v m).
 * Source: Narayanan et al. 2021, section 2.2; exact where p divides m or v = 1.
 */
export function pipelineBubble({ ranks, chunks, microBatches }: PipelineShape): number {
  return (ranks - 1) / (chunks * microBatches);
}

/** How a pass that is on its way counts in {@linkcode mostInFlight}. */
export type FlightWeight = (pass: PipelinePass) => number;

/** The largest sum of weights of what has gone forward through stages of a rank and not yet backward. */
export function mostInFlight(passes: readonly PipelinePass[], weight: FlightWeight): number {
  let [now, most] = [0, 0];
  for (const pass of passes) {
    now += pass.kind === "forward" ? weight(pass) : -weight(pass);
    most = Math.max(most, now);
  }
  return most;
}

/** The most micro-batches that have begun on a rank and not ended there. */
export function mostMicroBatches(passes: readonly PipelinePass[]): number {
  const ends = new Map<number, number>();
  passes.forEach(({ microBatch }, at) => ends.set(microBatch, at));
  const begun = new Set<number>();
  let most = 0;
  passes.forEach(({ microBatch }, at) => {
    begun.add(microBatch);
    most = Math.max(most, begun.size);
    if (ends.get(microBatch) === at) begun.delete(microBatch);
  });
  return most;
}
