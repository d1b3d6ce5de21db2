/**
 * The ways in which a step can be shared out over a number of devices.
 *
 * @module
 */

import type { MeshNumbers } from "../comm/mesh.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Recompute } from "../model/training/trainable.ts";
import type { PipelineScheduleName } from "../parallel/pipeline_schedule.ts";
import type { Fabric } from "./hardware.ts";
import type { StepShape, ZeroStage } from "./step_shape.ts";

/** A step that is to be shared out, and what is settled about it. */
export interface OpenStep extends Pick<StepShape, "model" | "seqLen" | "sequences"> {
  /** How many devices share the step. */
  readonly devices: number;
  /** How they are joined. */
  readonly fabric: Fabric;
  /** What is not to be chosen. */
  readonly settled?: {
    readonly mesh?: MeshNumbers | undefined;
    readonly microBatch?: number | undefined;
    readonly recompute?: Recompute | undefined;
    readonly zero?: ZeroStage | undefined;
    readonly schedule?: PipelineScheduleName | undefined;
    /** Of an interleaved pipeline. */
    readonly stagesPerRank?: number | undefined;
  };
}

/** Micro-batches that are tried, in sequences. */
const MICRO_BATCHES = [1, 2, 4, 8, 16, 32];
/** Tensor-parallel ranks of a torus at most: PaLM's 12 rounded up. */
const MOST_TENSOR = 16;

function divisorsOf(count: number): number[] {
  const divisors: number[] = [];
  for (let divisor = 1; divisor * divisor <= count; divisor++) {
    if (count % divisor !== 0) continue;
    divisors.push(divisor);
    if (divisor * divisor !== count) divisors.push(count / divisor);
  }
  return divisors.sort((a, b) => a - b);
}

/** Whether matrices and heads can be cut so: fewer key and value heads than ranks are copied. */
function cutsEvenly(model: ModelConfig, tensor: number): boolean {
  const { numAttentionHeads, numKeyValueHeads: K, intermediateSize, vocabSize } = model;
  return numAttentionHeads % tensor === 0 && intermediateSize % tensor === 0 &&
    (K % tensor === 0 || tensor % K === 0) && vocabSize >= tensor;
}

/** Ways of cutting replicas into shards: none, all, those of a node, those of a pod. */
function shardsOf(replicas: number, tensor: number, { fabric, devices }: OpenStep): number[] {
  const pods = Math.ceil(devices / fabric.nodeSize);
  const local = Math.floor(fabric.nodeSize / tensor);
  const wanted = fabric.torusAxes === undefined ? local : replicas / pods;
  return [1, wanted, replicas].filter((shards, at, all) =>
    Number.isInteger(shards) && shards >= 1 && replicas % shards === 0 &&
    all.indexOf(shards) === at
  );
}

/** All meshes of so many devices that divide the model and the batch. */
export function meshCandidates(open: OpenStep): MeshNumbers[] {
  const { model, sequences, devices, fabric, settled } = open;
  if (settled?.mesh !== undefined) return [settled.mesh];
  const most = Math.min(fabric.nodeSize, MOST_TENSOR);
  const meshes: MeshNumbers[] = [];
  for (const tensor of divisorsOf(devices)) {
    if (tensor > most || !cutsEvenly(model, tensor)) continue;
    for (const pipeline of divisorsOf(devices / tensor)) {
      const replicas = devices / tensor / pipeline;
      if (pipeline > model.numHiddenLayers || sequences % replicas !== 0) continue;
      for (const shard of shardsOf(replicas, tensor, open)) {
        const mesh = { data: replicas / shard, shard, tensor, pipeline };
        if (chunksOf(mesh, open).length > 0) meshes.push(mesh);
      }
    }
  }
  return meshes;
}

/**
 * Numbers of stages for each rank of a pipeline: what was asked for, or doublings as far as there are
 * layers, where one stage is 1F1B. A mesh that was asked for has one at least, for its refusal.
 */
function chunksOf({ pipeline }: MeshNumbers, { model, settled = {} }: OpenStep): number[] {
  const { schedule, stagesPerRank } = settled;
  if (pipeline === 1 || schedule === "1f1b") return [1];
  const least = schedule === "interleaved" ? stagesPerRank ?? 2 : 1;
  const most = Math.floor((model.numHiddenLayers + 2) / pipeline);
  const isOnly = schedule === "interleaved" && stagesPerRank !== undefined;
  const chunks: number[] = [];
  for (let count = least; count <= (isOnly ? Math.min(least, most) : most); count *= 2) {
    chunks.push(count);
  }
  return chunks.length === 0 && settled.mesh !== undefined ? [least] : chunks;
}

/** All ways of computing a step on a mesh. */
export function stepCandidates(mesh: MeshNumbers, open: OpenStep): StepShape[] {
  const { model, seqLen, sequences, settled = {} } = open;
  const share = sequences / (mesh.data * mesh.shard);
  const zeros: readonly ZeroStage[] = mesh.shard === 1 ? [0] : [1, 2, 3];
  const choose = <T>(one: T | undefined, all: readonly T[]) => one === undefined ? all : [one];
  const shapes: StepShape[] = [];
  for (const microBatch of choose(settled.microBatch, MICRO_BATCHES)) {
    if (settled.microBatch === undefined && share % microBatch !== 0) continue;
    // Over several micro-batches ZeRO 2 shares no more than 1.
    const useful = share > microBatch ? zeros.filter((zero) => zero !== 2) : zeros;
    for (const recompute of choose(settled.recompute, ["none", "selective", "full"] as const)) {
      for (const zero of mesh.shard === 1 ? zeros : choose(settled.zero, useful)) {
        for (const chunks of chunksOf(mesh, open)) {
          shapes.push({ model, seqLen, sequences, microBatch, recompute, mesh, zero, chunks });
        }
      }
    }
  }
  return shapes;
}
