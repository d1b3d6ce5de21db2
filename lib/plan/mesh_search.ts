/**
 * The best way of sharing a step out over a number of devices, and why the others are worse.
 *
 * Every mesh that divides model and batch is planned in every way; those whose memory does not fit go,
 * the rest are put in order by a formula, and the best of them are replayed.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { formatMemory } from "../base/format.ts";
import { quoted } from "../base/quoted.ts";
import { meshText } from "../comm/mesh.ts";
import type { Device } from "./kernel_time.ts";
import { meshCandidates, type OpenStep, stepCandidates } from "./mesh_candidates.ts";
import { type RankBytes, RankMemory } from "./rank_memory.ts";
import { EstimatedSteps } from "./step_estimate.ts";
import { replayLongStep, type StepReplay } from "./step_replay.ts";
import type { StepShape } from "./step_shape.ts";

/** A way that was replayed. */
export interface ReplayedShape {
  /** The way. */
  readonly shape: StepShape;
  /** Its memory. */
  readonly bytes: RankBytes;
  /** Its time. */
  readonly replay: StepReplay;
}

/** A mesh that was not taken. */
export interface RejectedMesh {
  /** The mesh, as `--mesh` takes it. */
  readonly mesh: string;
  /** Why, in a few words. */
  readonly reason: string;
  /** How much longer its best way takes, as a share; absent where it does not fit. */
  readonly slower?: number;
}

/** What a search has found. */
export interface MeshSearch {
  /** The best way. */
  readonly best: ReplayedShape;
  /** The best ways of other meshes, fastest first, and then those that do not fit, by memory. */
  readonly rejected: readonly RejectedMesh[];
  /** Ways that were planned. */
  readonly planned: number;
}

/** Meshes whose best way is replayed. */
const REPLAYED_MESHES = 8;
/** Ways of a mesh that are replayed. */
const REPLAYED_WAYS = 2;
/** Memory of a device that a run may plan for: the rest is the runtime's and fragments. */
export const USABLE_MEMORY = 0.92;

interface PlannedMesh {
  readonly text: string;
  /** Ways that fit, fastest by formula first. */
  readonly ways: readonly {
    readonly shape: StepShape;
    readonly bytes: RankBytes;
    seconds: number;
  }[];
  /** The least memory of any way. */
  readonly least: number;
  readonly planned: number;
}

/** Plans every way on every mesh. */
function planMeshes(open: OpenStep, device: Device): PlannedMesh[] {
  const estimated = new EstimatedSteps(device);
  const ranks = new RankMemory();
  const memory = USABLE_MEMORY * device.hardware.memory;
  return meshCandidates(open).map((mesh) => {
    const all = stepCandidates(mesh, open).map((shape) => ({ shape, bytes: ranks.plan(shape) }));
    const least = Math.min(...all.map(({ bytes }) => bytes.total));
    // A mesh that was asked for is planned even where it does not fit: in the way that needs the least.
    const most = open.settled?.mesh === undefined ? memory : Math.max(memory, least);
    const ways = all.filter(({ bytes }) => bytes.total <= most)
      .map((way) => ({ ...way, seconds: estimated.seconds(way.shape) }))
      .sort((a, b) => a.seconds - b.seconds);
    return { text: meshText(mesh), ways, least, planned: all.length };
  });
}

function replayMesh({ ways }: PlannedMesh, device: Device): ReplayedShape {
  const replayed = ways.slice(0, REPLAYED_WAYS).map(({ shape, bytes }) => ({
    shape,
    bytes,
    replay: replayLongStep(shape, device),
  }));
  return replayed.reduce((best, way) => way.replay.step < best.replay.step ? way : best);
}

const LOSSES = {
  computing: "its products are slower or computed again",
  tensor: "waits for tensor-parallel ranks",
  replicas: "waits for weights and gradients",
  pipeline: "the pipeline's bubble",
  optimizer: "its optimizer has more to update",
} as const;

/** What costs a way the most against the best. */
function reasonOf(way: ReplayedShape, best: ReplayedShape): string {
  const kinds = Object.keys(LOSSES) as (keyof typeof LOSSES)[];
  const lost = (kind: keyof typeof LOSSES) => way.replay[kind] - best.replay[kind];
  const most = kinds.reduce((worst, kind) => lost(kind) > lost(worst) ? kind : worst);
  return LOSSES[most];
}

/**
 * Finds the best way.
 *
 * @throws {ConfigError} Where no mesh divides model and batch, or none fits.
 */
export function searchMesh(open: OpenStep, device: Device): MeshSearch {
  const meshes = planMeshes(open, device);
  const { devices, sequences } = open;
  const cannot = `Cannot share a step of ${sequences} sequences out over ${devices} devices`;
  if (meshes.length === 0) {
    throw new ConfigError(`${cannot}: no mesh divides them, the heads and the layers`, {
      hint: "take another number of devices, or another --batch-tokens",
    });
  }
  const fitting = meshes.filter(({ ways }) => ways.length > 0)
    .sort((a, b) => a.ways[0]!.seconds - b.ways[0]!.seconds);
  const { memory } = device.hardware;
  const tight = meshes.filter(({ ways }) => ways.length === 0).sort((a, b) => a.least - b.least);
  if (fitting.length === 0) {
    const { text, least } = tight[0]!;
    throw new ConfigError(
      `${cannot}: ${quoted(text)} takes the least memory, ${
        formatMemory(least)
      } a device, and there ` +
        `are ${formatMemory(memory)}, of which ${USABLE_MEMORY * 100}% can be planned`,
      { hint: "take more devices, or shorter sequences with --seq-len" },
    );
  }
  const replayed = fitting.slice(0, REPLAYED_MESHES).map((mesh) => replayMesh(mesh, device))
    .sort((a, b) => a.replay.step - b.replay.step);
  const best = replayed[0]!;
  const slower = replayed.slice(1).map((way): RejectedMesh => ({
    mesh: meshText(way.shape.mesh),
    slower: way.replay.step / best.replay.step - 1,
    reason: reasonOf(way, best),
  }));
  const large = tight.map(({ text, least }): RejectedMesh => ({
    mesh: text,
    reason: `does not fit: ${formatMemory(least)} a device at least`,
  }));
  const planned = meshes.reduce((sum, mesh) => sum + mesh.planned, 0);
  return { best, rejected: [...slower, ...large], planned };
}
