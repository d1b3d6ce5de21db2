/**
 * A step on named accelerators: its mesh, found or given, its memory, what it sends, and its time.
 *
 * @module
 */

import { checkDivisions, type MeshNumbers, meshSize } from "../comm/mesh.ts";
import { efficiencyOf } from "./efficiency.ts";
import { modelFlopsUtilization } from "./flops.ts";
import { hardwareOf } from "./hardware.ts";
import type { OpenStep } from "./mesh_candidates.ts";
import { type RejectedMesh, searchMesh, USABLE_MEMORY } from "./mesh_search.ts";
import type { RankBytes } from "./rank_memory.ts";
import type { StepReplay } from "./step_replay.ts";
import { microBatchesOf, type StepShape } from "./step_shape.ts";
import { HALVES, planStepTraffic, type StepTraffic } from "./step_traffic.ts";

/** What is planned. */
export interface StepPlanOptions extends Omit<OpenStep, "fabric" | "devices"> {
  /** The device's name. */
  readonly hardware: string;
  /** How many; those of the mesh without. */
  readonly devices?: number | undefined;
}

/** A step on paper. */
export interface StepPlan extends Omit<StepShape, "model"> {
  /** How many devices share the step. */
  readonly devices: number;
  /** Whether the mesh was found, and not given. */
  readonly found: boolean;
  /** Ways that were planned before this was taken. */
  readonly planned: number;
  /** Micro-batches of a rank in a step. */
  readonly microBatches: number;
  /** Bytes of the rank that needs the most. */
  readonly memory: RankBytes;
  /** Whether they fit a device, of which not all is planned with. */
  readonly fits: boolean;
  /** Bytes that the mean rank sends. */
  readonly traffic: StepTraffic;
  /** Where the seconds go. */
  readonly seconds: StepReplay;
  /** Share of the communication that no rank waits for; 1 where there is none. */
  readonly hidden: number;
  /** Tokens per second of all devices. */
  readonly tokensPerSecond: number;
  /** Model FLOPs utilization. */
  readonly mfu: number;
  /** Other meshes, and why they were not taken. */
  readonly rejected: readonly RejectedMesh[];
}

/** Checks that a given mesh divides what it cuts. @throws {ConfigError} Where it does not. */
function checkGiven(mesh: MeshNumbers, { model, sequences }: StepPlanOptions): void {
  checkDivisions(mesh, {
    layers: model.numHiddenLayers,
    heads: model.numAttentionHeads,
    kvHeads: model.numKeyValueHeads,
    intermediateSize: model.intermediateSize,
    batchSize: sequences,
  });
}

/**
 * Plans a step, on the mesh that is given or on the best.
 *
 * @throws {UsageError} For a device that is not known.
 * @throws {ConfigError} Where the mesh does not divide model and batch, or no mesh that could be chosen fits
 *   the memory.
 */
export function planStep(options: StepPlanOptions): StepPlan {
  const { hardware: name, settled, model, seqLen, sequences } = options;
  const hardware = hardwareOf(name);
  const mesh = settled?.mesh;
  if (mesh !== undefined) checkGiven(mesh, options);
  const devices = options.devices ?? (mesh === undefined ? 1 : meshSize(mesh));
  const device = { hardware, efficiency: efficiencyOf(hardware.chip) };
  const found = searchMesh({ ...options, devices, fabric: hardware.fabric }, device);
  const { best: { shape, bytes, replay }, rejected, planned } = found;
  const { tensor, replicas, pipeline } = replay.communication;
  const all = tensor + replicas + pipeline;
  const tokensPerSecond = sequences * seqLen / replay.step;
  const { model: _, ...step } = shape;
  return {
    ...step,
    devices,
    found: mesh === undefined && devices > 1,
    planned,
    microBatches: microBatchesOf(shape),
    memory: bytes,
    fits: bytes.total <= USABLE_MEMORY * hardware.memory,
    traffic: planStepTraffic(shape, HALVES),
    seconds: replay,
    hidden: all === 0 ? 1 : 1 - Math.min(1, (replay.tensor + replay.replicas) / all),
    tokensPerSecond,
    mfu: modelFlopsUtilization(model, {
      tokensPerSecond,
      peakFlops: devices * hardware.peakFlops,
      seqLen,
    }),
    rejected,
  };
}
