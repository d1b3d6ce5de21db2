/**
 * Who writes what of a checkpoint: every whole tensor has one writer, the writers have equal shares,
 * and together the files are an ordinary Hugging Face model, sharded where there is more than one.
 *
 * The ranks that write are those of the first replica of the data axis. A tensor is written by one of
 * the ranks of its own stage of the pipeline, so that nothing travels between stages.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import { gatherJson } from "../comm/json.ts";
import { coordinatesOf, type Mesh, type MeshNumbers, rankOf } from "../comm/mesh.ts";
import type { WeightSlice } from "../model/training/parts.ts";
import type { Parameter } from "../model/training/trainable.ts";
import type { WeightSpec } from "../model/weights.ts";
import { type ModelConfig } from "../model/config.ts";
import { weightSpecs } from "../model/weights.ts";

/** Weights beyond this size are cut, as transformers cuts them. */
const SHARD_BYTES = 5e9;

/** What one rank has of a tensor. */
export interface Holding {
  /** The rank, in the world. */
  readonly rank: number;
  /** What of it; absent for all. */
  readonly slice?: WeightSlice | undefined;
}

/** One tensor of a checkpoint. */
export interface PlannedTensor {
  /** Its row of the name table. */
  readonly spec: WeightSpec;
  /** The rank that writes it, in the world. */
  readonly writer: number;
  /** The ranks on the writer's place of the shard axis that together have it. */
  readonly holdings: readonly Holding[];
}

/** One file of tensors. */
export interface PlannedFile {
  /** Its name inside the checkpoint. */
  readonly name: string;
  /** The rank that writes it, in the world. */
  readonly writer: number;
  /** Names of its tensors in the name table, in order. */
  readonly tensors: readonly WeightSpec[];
}

/** Who writes what. */
export interface CheckpointPlan {
  /** Every tensor, in the order in which all ranks gather them. */
  readonly tensors: readonly PlannedTensor[];
  /** Files of weights, at the top of the folder. */
  readonly weights: readonly PlannedFile[];
  /** Files of moments, in `training/`. */
  readonly moments: readonly PlannedFile[];
  /** Ranks that write, the leader among them. */
  readonly writers: readonly number[];
}

/** What a rank tells of one of its parameters: place in the name table, slice, copy. */
type Told = readonly [name: string, slice: WeightSlice | null, copy: number];

/** Tells everybody what each rank has; every rank of the world calls it. */
function exchange(world: Communicator, parameters: readonly Parameter[]): Told[][] {
  const own = parameters.map(({ spec, slice, copy }): Told => [spec.name, slice ?? null, copy]);
  return gatherJson(world, own) as Told[][];
}

/** A tensor and where in the first shard's plane it lies. */
interface Found {
  readonly spec: WeightSpec;
  readonly stage: number;
  readonly holders: readonly { readonly at: MeshNumbers; readonly slice: WeightSlice | null }[];
}

/** Finds every tensor's holders among the first replica's first shard; other shards have the same. */
function find(specs: readonly WeightSpec[], told: readonly Told[][], sizes: MeshNumbers): Found[] {
  const byName = new Map<string, Found["holders"][number][]>();
  told.forEach((list, rank) => {
    const at = coordinatesOf(rank, sizes);
    if (at.data > 0 || at.shard > 0) return;
    for (const [name, slice, copy] of list) {
      if (copy > 0) continue;
      const holders = byName.get(name) ?? [];
      byName.set(name, holders);
      holders.push({ at, slice });
    }
  });
  return specs.map((spec) => {
    const holders = byName.get(spec.name);
    if (holders === undefined) throw new TypeError(`no rank has ${spec.name}`);
    return { spec, holders, stage: holders[0]!.at.pipeline };
  });
}

function bytesOf({ shape }: WeightSpec): number {
  return 4 * shape.reduce((product, extent) => product * extent, 1);
}

/** Shares the tensors of a stage out over its shards and tensor ranks, by bytes and in their order. */
function shareOut(found: readonly Found[], sizes: MeshNumbers): PlannedTensor[] {
  const share = sizes.shard * sizes.tensor;
  const all = found.reduce((sum, { spec }) => sum + bytesOf(spec), 0);
  let before = 0;
  return found.map(({ spec, stage, holders }) => {
    const bytes = bytesOf(spec);
    // A tensor goes to the writer within whose share its middle lies.
    const place = Math.min(share - 1, Math.floor(((before + bytes / 2) / all) * share));
    before += bytes;
    const [shard, tensor] = [Math.floor(place / sizes.tensor), place % sizes.tensor];
    const writer = rankOf({ data: 0, shard, tensor, pipeline: stage }, sizes);
    return {
      spec,
      writer,
      holdings: holders.map(({ at, slice }) => ({
        rank: rankOf({ ...at, shard }, sizes),
        slice: slice ?? undefined,
      })),
    };
  });
}

/** Cuts the tensors of each writer into files of at most `limit` bytes, and names them. */
function filesOf(
  tensors: readonly PlannedTensor[],
  { stem, limit, sizeOf }: {
    readonly stem: string;
    readonly limit: number;
    readonly sizeOf: (spec: WeightSpec) => number;
  },
): PlannedFile[] {
  const runs: { writer: number; tensors: WeightSpec[]; room: number }[] = [];
  for (const { spec, writer } of tensors) {
    const size = sizeOf(spec);
    let run = runs.findLast((run) => run.writer === writer);
    if (run === undefined || size > run.room) {
      runs.push(run = { writer, tensors: [], room: limit });
    }
    run.tensors.push(spec);
    run.room -= size;
  }
  const digits = (n: number) => String(n).padStart(5, "0");
  return runs.map(({ writer, tensors }, i) => {
    const place = runs.length === 1 ? "" : `-${digits(i + 1)}-of-${digits(runs.length)}`;
    return { name: `${stem}${place}.safetensors`, writer, tensors };
  });
}

/** Agrees on who writes what; every rank of the mesh calls it, and all get the same. */
export function planCheckpoint(
  config: ModelConfig,
  { mesh: { world, sizes }, parameters }: {
    readonly mesh: Mesh;
    readonly parameters: readonly Parameter[];
  },
): CheckpointPlan {
  const found = find(weightSpecs(config), exchange(world, parameters), sizes);
  const tensors = Array.from(
    { length: sizes.pipeline },
    (_, stage) => shareOut(found.filter((tensor) => tensor.stage === stage), sizes),
  ).flat();
  const weights = filesOf(tensors, { stem: "model", limit: SHARD_BYTES, sizeOf: bytesOf });
  const moments = filesOf(tensors, {
    stem: "training/optimizer",
    limit: Infinity,
    sizeOf: (spec) => 2 * bytesOf(spec),
  });
  return {
    ...{ tensors, weights, moments },
    writers: [...new Set([0, ...weights.map(({ writer }) => writer)])].sort((a, b) => a - b),
  };
}
