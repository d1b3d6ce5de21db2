/**
 * What the ranks of a run send and wait for, by way of sharing: bytes as they were handed over, and
 * the share of the time in which computation stood still for them. That share is what is left exposed
 * of communication that overlaps computation.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import { gatherJson } from "../comm/json.ts";
import type { Mesh } from "../comm/mesh.ts";
import type { Counted, GradientEngine } from "./gradient_engine.ts";

/** What one way of sharing took in some steps. */
export interface SchemeTraffic {
  /** Bytes that all ranks together have sent. */
  readonly bytes: number;
  /** Milliseconds that a rank has waited, in the mean over all. */
  readonly waited_ms: number;
  /** Those milliseconds as a share of the time. */
  readonly exposed: number;
}

/** What communication took in some steps. */
export interface CommunicationReport {
  /** Milliseconds of these steps. */
  readonly ms: number;
  /** Share of the time that was waited, over all ways of sharing. */
  readonly exposed: number;
  /** By the names of the communicators: an axis of the mesh, `replicas`, or `world`. */
  readonly schemes: Readonly<Record<string, SchemeTraffic>>;
  /** How long the stages of the pipeline stood still: part of what is waited on axis `pipeline`. */
  readonly pipeline?: PipelineStandstill | undefined;
}

/** Times in which the stages of a pipeline stood still, over those in which they computed. */
export interface PipelineStandstill {
  /** What the schedule makes of stages that take the same time: (p - 1) / (v m). */
  readonly formula: number;
  /** What it makes of stages that take as long as these. */
  readonly bubble: number;
  /** What was measured. */
  readonly waited: number;
  /** What of that is no bubble. */
  readonly exposed: number;
  /** Milliseconds of a micro-batch in each stage, forward and backward. */
  readonly stage_ms: readonly number[];
}

type Counts = Record<string, { bytes: number; waitedMs: number }>;

function countsOf(communicators: readonly Counted[]): Counts {
  const counts: Counts = {};
  for (const communicator of communicators) {
    const sums = counts[communicator.name] ??= { bytes: 0, waitedMs: 0 };
    for (const { bytes, waitedMs } of Object.values(communicator.traffic())) {
      sums.bytes += bytes;
      sums.waitedMs += waitedMs;
    }
  }
  return counts;
}

/** Measures communication from one report to the next. */
export class CommunicationMeter {
  readonly #world: Communicator;
  readonly #communicators: readonly Counted[];
  readonly #engine: Pick<GradientEngine, "standstill">;
  #before: Counts;
  #since = performance.now();

  /** Begins to measure. */
  constructor(
    { world, axes, replicas }: Mesh,
    engine: Pick<GradientEngine, "communicators" | "standstill"> = {},
  ) {
    const { communicators: others = [] } = engine;
    this.#engine = engine;
    this.#world = world;
    this.#communicators = [world, ...Object.values(axes), replicas, ...others];
    this.#before = countsOf(this.#communicators);
  }

  /** What was sent and waited for since the last report; every rank of the world calls it. */
  take(): CommunicationReport {
    const now = countsOf(this.#communicators);
    const own: Counts = {};
    for (const [name, { bytes, waitedMs }] of Object.entries(now)) {
      const before = this.#before[name] ?? { bytes: 0, waitedMs: 0 };
      own[name] = { bytes: bytes - before.bytes, waitedMs: waitedMs - before.waitedMs };
    }
    const ms = performance.now() - this.#since;
    const all = gatherJson(this.#world, { ms, own }) as { ms: number; own: Counts }[];
    const stood = this.#engine.standstill?.();
    // The report itself is not counted.
    this.#before = countsOf(this.#communicators);
    this.#since = performance.now();
    if (stood === undefined) return reportOf(all);
    const { stageMs: stage_ms, ...shares } = stood;
    return { ...reportOf(all), pipeline: { ...shares, stage_ms } };
  }
}

function reportOf(
  all: readonly { readonly ms: number; readonly own: Counts }[],
): CommunicationReport {
  const ms = all.reduce((sum, rank) => sum + rank.ms, 0) / all.length;
  const schemes: Record<string, SchemeTraffic> = {};
  for (const name of new Set(all.flatMap(({ own }) => Object.keys(own)))) {
    const counts = all.map(({ own }) => own[name] ?? { bytes: 0, waitedMs: 0 });
    const bytes = counts.reduce((sum, count) => sum + count.bytes, 0);
    const waited = counts.reduce((sum, count) => sum + count.waitedMs, 0) / all.length;
    if (bytes > 0) schemes[name] = { bytes, waited_ms: waited, exposed: waited / ms };
  }
  const exposed = Object.values(schemes).reduce((sum, scheme) => sum + scheme.exposed, 0);
  return { ms, exposed, schemes };
}
