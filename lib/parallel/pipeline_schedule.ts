/**
 * In which order the ranks of a pipeline compute micro-batches: a pure function, for those who run it
 * and for those who only reckon with it.
 *
 * The layers are cut into stages 0 to p v - 1; rank r of p has the stages r, p + r, 2 p + r …: v of
 * them. With v = 1 this is 1F1B (Narayanan et al. 2021, arXiv:2104.04473, figure 4, "PipeDream-Flush"):
 * rank r computes p - r - 1 forwards, then one forward and one backward in turn, so that it keeps the
 * activations of p - r micro-batches and not of all m. With v > 1 it is the interleaved schedule of
 * section 2.2: groups of micro-batches go through one of the rank's stages after the other.
 * A rank is idle for (p - 1) / (v m) of the time that it computes (equations 1 and 2).
 *
 * Every stage's backwards come in the order of the micro-batches, so that sums of gradients have the
 * same order, and the same bits, as on one rank.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";

/** Names of the schedules. */
export const PIPELINE_SCHEDULES = ["1f1b", "interleaved"] as const;

/** Name of a schedule. */
export type PipelineScheduleName = (typeof PIPELINE_SCHEDULES)[number];

/** How a pipeline is cut and fed. */
export interface PipelineShape {
  /** Ranks of the pipeline, p. */
  readonly ranks: number;
  /** Stages of each rank, v: 1 is 1F1B, more is interleaved. */
  readonly chunks: number;
  /** Micro-batches of a step, m. */
  readonly microBatches: number;
}

/** Which way a micro-batch goes. */
export type PassKind = "forward" | "backward";

/** A micro-batch goes through a stage. */
export interface PipelinePass {
  /** Which way. */
  readonly kind: PassKind;
  /** The stage, of all ranks' stages. */
  readonly stage: number;
  /** The micro-batch. */
  readonly microBatch: number;
}

/** Hidden states, or their gradient, between the ranks of neighbouring stages. */
export interface PipelineMessage {
  /** What is begun; nothing waits here, the pass that reads a message does. */
  readonly kind: "send" | "receive";
  /** The rank on the other side. */
  readonly peer: number;
  /** The pass that reads it. */
  readonly reader: PipelinePass;
}

/** One thing that a rank does. */
export type PipelineAction = PipelinePass | PipelineMessage;

/** The rank that has a stage. */
export function rankOfStage(stage: number, { ranks }: Pick<PipelineShape, "ranks">): number {
  return stage % ranks;
}

/** Stages of a rank, first to last. */
export function stagesOfRank(
  rank: number,
  { ranks, chunks }: Pick<PipelineShape, "ranks" | "chunks">,
): number[] {
  return Array.from({ length: chunks }, (_, chunk) => chunk * ranks + rank);
}

/** Tells apart all messages between two ranks within a step. */
export function messageTag(reader: PipelinePass, { ranks, chunks }: PipelineShape): number {
  const place = reader.microBatch * ranks * chunks + reader.stage;
  return 2 * place + Number(reader.kind === "backward");
}

function checkShape(shape: PipelineShape): void {
  for (const [name, value] of Object.entries(shape)) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new RangeError(`${quoted(name)} of a pipeline is ${value}: whole numbers from 1`);
  }
  if (shape.chunks > 1 && shape.ranks === 1) {
    throw new RangeError("one rank interleaves nothing: chunks 1");
  }
}

/**
 * Sizes of the groups that micro-batches come in: p each where p divides m, else a little more, never
 * fewer (unless there are fewer), for a stage with less to do than p micro-batches would wait for the
 * first of them to come round. So any m will do, as in Llama 3 (arXiv:2407.21783, section 3.3.2).
 */
function groupsOf({ ranks, microBatches }: PipelineShape): number[] {
  const count = Math.max(1, Math.floor(microBatches / ranks));
  const even = Math.floor(microBatches / count);
  const longer = microBatches % count;
  return Array.from({ length: count }, (_, group) => even + Number(group < longer));
}

/** All passes of one kind in a rank's order: group by group, stage by stage, micro-batch by micro-batch. */
function passesOfKind(kind: PassKind, rank: number, shape: PipelineShape): PipelinePass[] {
  const stages = stagesOfRank(rank, shape);
  if (kind === "backward") stages.reverse();
  const passes: PipelinePass[] = [];
  let first = 0;
  for (const size of groupsOf(shape)) {
    for (const stage of stages) {
      for (let i = 0; i < size; i++) passes.push({ kind, stage, microBatch: first + i });
    }
    first += size;
  }
  return passes;
}

/** Forwards of a rank before its first backward. */
export function warmUpPasses(rank: number, shape: PipelineShape): number {
  const { ranks, chunks, microBatches } = shape;
  const behind = ranks - rank - 1;
  const wanted = chunks === 1 ? behind : 2 * behind + (chunks - 1) * groupsOf(shape)[0]!;
  return Math.min(wanted, chunks * microBatches);
}

/**
 * What a rank computes, in its order.
 *
 * @throws {RangeError} For a shape that is none.
 */
export function pipelinePasses(rank: number, shape: PipelineShape): PipelinePass[] {
  checkShape(shape);
  const forwards = passesOfKind("forward", rank, shape);
  const backwards = passesOfKind("backward", rank, shape);
  const ahead = warmUpPasses(rank, shape);
  const passes = forwards.slice(0, ahead);
  backwards.forEach((backward, index) => {
    const forward = forwards[ahead + index];
    if (forward !== undefined) passes.push(forward);
    passes.push(backward);
  });
  return passes;
}

/** What a rank computes where nothing goes backward, as in an evaluation. */
export function forwardPasses(rank: number, shape: PipelineShape): PipelinePass[] {
  checkShape(shape);
  return passesOfKind("forward", rank, shape);
}

/** The pass whose result a pass reads; nothing for the first. A backward of the last stage reads its forward. */
export function passBefore(pass: PipelinePass, shape: PipelineShape): PipelinePass | undefined {
  const { kind, stage, microBatch } = pass;
  if (kind === "forward") return stage === 0 ? undefined : { kind, stage: stage - 1, microBatch };
  const last = shape.ranks * shape.chunks - 1;
  if (stage === last) return { kind: "forward", stage, microBatch };
  return { kind, stage: stage + 1, microBatch };
}

/** The pass that reads a pass's result; nothing where none on another stage does. */
function passAfter({ kind, stage, microBatch }: PipelinePass, shape: PipelineShape) {
  const next = kind === "forward" ? stage + 1 : stage - 1;
  const exists = next >= 0 && next < shape.ranks * shape.chunks;
  return exists ? { kind, stage: next, microBatch } : undefined;
}

/**
 * Everything that a rank does: the passes of {@linkcode pipelinePasses}, with a message begun as soon as it can be. A send follows the
 * pass that made it; a receive comes before the pass that precedes its reader, so that it is on its way
 * while the rank computes. No sends wait, so that ranks cannot wait for each other in a ring.
 */
export function pipelineActions(
  passes: readonly PipelinePass[],
  shape: PipelineShape,
): PipelineAction[] {
  const actions: PipelineAction[] = [];
  const receive = (reader: PipelinePass | undefined) => {
    const source = reader && passBefore(reader, shape);
    if (source === undefined || source.stage === reader!.stage) return;
    actions.push({ kind: "receive", peer: rankOfStage(source.stage, shape), reader: reader! });
  };
  receive(passes[0]);
  passes.forEach((pass, index) => {
    receive(passes[index + 1]);
    actions.push(pass);
    const reader = passAfter(pass, shape);
    if (reader === undefined) return;
    actions.push({ kind: "send", peer: rankOfStage(reader.stage, shape), reader });
  });
  return actions;
}
