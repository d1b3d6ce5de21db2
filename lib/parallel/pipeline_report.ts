/**
 * How long the ranks of a pipeline stand still, and why: the bubble that the schedule cannot avoid, what
 * uneven stages add to it, and what of the messages stays exposed.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import { pipelineBubble, replayPipeline } from "./pipeline_replay.ts";
import type { PipelinePass, PipelineShape } from "./pipeline_schedule.ts";

/** Where the time of a rank went, over some steps. */
export interface PipelineTimes {
  /** Steps that were computed. */
  readonly steps: number;
  /** Milliseconds of all steps. */
  readonly totalMs: number;
  /** Milliseconds of the forwards of each of the rank's stages. */
  readonly forwardMs: readonly number[];
  /** Milliseconds of their backwards. */
  readonly backwardMs: readonly number[];
  /** Milliseconds in which passes waited for messages. */
  readonly waitedMs: number;
  /** Micro-batches of all steps. */
  readonly microBatches: number;
}

/** Times in which ranks stand still, over those in which they compute, in the mean over the ranks. */
export interface PipelineReport {
  /** What the formula says: (p - 1) / (v m). */
  readonly formula: number;
  /**
   * What the schedule makes of passes that take as long as these did, messages taking no time: the
   * formula's where stages are even.
   */
  readonly bubble: number;
  /** What was measured. */
  readonly waited: number;
  /** What of the measured is no bubble: messages that were late, and passes that took longer than others. */
  readonly exposed: number;
  /** Milliseconds of a forward and a backward through each stage, first to last. */
  readonly stageMs: readonly number[];
}

/** Times before any step. */
export function noTimes(chunks: number): PipelineTimes {
  const none = () => new Array<number>(chunks).fill(0);
  const times = { steps: 0, totalMs: 0, waitedMs: 0, microBatches: 0 };
  return { ...times, forwardMs: none(), backwardMs: none() };
}

/** Adds the times of more steps. */
export function addTimes(one: PipelineTimes, other: PipelineTimes): PipelineTimes {
  const add = (a: readonly number[], b: readonly number[]) => a.map((ms, i) => ms + b[i]!);
  return {
    steps: one.steps + other.steps,
    totalMs: one.totalMs + other.totalMs,
    forwardMs: add(one.forwardMs, other.forwardMs),
    backwardMs: add(one.backwardMs, other.backwardMs),
    waitedMs: one.waitedMs + other.waitedMs,
    microBatches: one.microBatches + other.microBatches,
  };
}

/** What a rank tells of its times: waiting, then forward and backward of each stage, per micro-batch. */
function toldBy({ waitedMs, forwardMs, backwardMs, microBatches }: PipelineTimes): number[] {
  return [waitedMs, ...forwardMs, ...backwardMs].map((ms) => ms / Math.max(1, microBatches));
}

/**
 * Puts the times of all ranks together; all of them call it, after the same steps.
 *
 * @param ranks The ranks of the pipeline.
 */
export function reportPipeline(ranks: Communicator, times: PipelineTimes): PipelineReport {
  const chunks = times.forwardMs.length;
  const fields = 1 + 2 * chunks;
  const told = new Float64Array(fields * ranks.size);
  told.set(toldBy(times), fields * ranks.rank);
  ranks.allGather(told);
  const of = (rank: number, field: number) => told[rank * fields + field]!;
  const microBatches = Math.max(1, Math.round(times.microBatches / Math.max(1, times.steps)));
  const shape: PipelineShape = { ranks: ranks.size, chunks, microBatches };
  const pass = ({ kind, stage }: Pick<PipelinePass, "kind" | "stage">) => {
    const chunk = Math.floor(stage / ranks.size);
    return of(stage % ranks.size, 1 + chunk + (kind === "backward" ? chunks : 0));
  };
  const stageMs = Array.from(
    { length: ranks.size * chunks },
    (_, stage) => pass({ kind: "forward", stage }) + pass({ kind: "backward", stage }),
  );
  const { bubble } = replayPipeline(shape, { pass });
  let waited = 0;
  for (let rank = 0; rank < ranks.size; rank++) {
    const computed = stageMs.reduce(
      (sum, ms, stage) => stage % ranks.size === rank ? sum + ms : sum,
      0,
    );
    waited += of(rank, 0) / computed / ranks.size;
  }
  return { formula: pipelineBubble(shape), bubble, waited, exposed: waited - bubble, stageMs };
}
