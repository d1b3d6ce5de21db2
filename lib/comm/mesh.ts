/**
 * A mesh: the ranks as a box whose axes are the ways of sharing work.
 *
 * The last axis varies fastest, as in Megatron: tensor-parallel ranks, which talk most, are
 * neighbours, then come the shards of one replica, the replicas, and the stages of the pipeline,
 * which talk least. rank = ((pipeline · D + data) · S + shard) · T + tensor.
 *
 * @module
 */

import { ConfigError, UsageError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import { quoted } from "../base/quoted.ts";
import type { Communicator } from "./communicator.ts";

/** The axes, in the order in which users write them. */
export const MESH_AXES = ["data", "shard", "tensor", "pipeline"] as const;

/** An axis: replicas, ZeRO's shards, tensor parallelism with sequence parallelism, stages. */
export type MeshAxis = (typeof MESH_AXES)[number];

/** A number for every axis: sizes, or the coordinates of a rank. */
export type MeshNumbers = Readonly<Record<MeshAxis, number>>;

/** Axes from slowest to fastest. */
const ORDER: readonly MeshAxis[] = ["pipeline", "data", "shard", "tensor"];

/** More ranks than any run has: a product that is past it was a slip of the hand. */
const MOST_RANKS = 2 ** 20;

/** Product of all axes. */
export function meshSize(sizes: MeshNumbers): number {
  return MESH_AXES.reduce((product, axis) => product * sizes[axis], 1);
}

/** "data=2,tensor=4", axes of one rank left out; "data=1" where all are. */
export function meshText(sizes: MeshNumbers): string {
  const shown = MESH_AXES.filter((axis) => sizes[axis] > 1);
  return (shown.length > 0 ? shown : ["data" as const]).map((axis) => `${axis}=${sizes[axis]}`)
    .join(",");
}

function axisOf(name: string, text: string): MeshAxis {
  const axis = MESH_AXES.find((known) => known === name);
  if (axis !== undefined) return axis;
  const near = nearest(name, MESH_AXES);
  const hint = near === undefined ? "--mesh data=2,tensor=2" : `--mesh ${near}=…`;
  const known = MESH_AXES.join(", ");
  const fault = `Cannot read mesh ${quoted(text)}: ${quoted(name)} is no axis; there are ${known}`;
  throw new UsageError(fault, { hint });
}

/**
 * Reads `data=2,tensor=2`; axes that are not named have one rank.
 *
 * @throws {UsageError} For an axis that is none or named twice, and for a size that is none.
 */
export function parseMesh(text: string): MeshNumbers {
  const sizes: Partial<Record<MeshAxis, number>> = {};
  for (const term of text.split(",")) {
    const [, name, size] = /^\s*(\w*)\s*=\s*(\S*)\s*$/.exec(term) ?? [];
    const cannot = `Cannot read mesh ${quoted(text)}`;
    if (name === undefined || size === undefined) {
      const hint = "--mesh data=2,tensor=2";
      throw new UsageError(`${cannot}: ${quoted(term)} is not of the form axis=size`, { hint });
    }
    const axis = axisOf(name, text);
    if (sizes[axis] !== undefined) throw new UsageError(`${cannot}: "${axis}" is named twice`);
    if (!/^[1-9]\d{0,6}$/.test(size)) {
      throw new UsageError(
        `${cannot}: "${axis}" is ${quoted(size)}; whole numbers from 1 are wanted`,
      );
    }
    sizes[axis] = Number(size);
  }
  const mesh = { data: 1, shard: 1, tensor: 1, pipeline: 1, ...sizes };
  if (meshSize(mesh) <= MOST_RANKS) return mesh;
  throw new UsageError(
    `Cannot read mesh ${quoted(text)}: it has ${meshSize(mesh)} ranks, ${MOST_RANKS} are the most`,
  );
}

/** Where a rank stands. @throws {RangeError} For a rank outside the mesh. */
export function coordinatesOf(rank: number, sizes: MeshNumbers): MeshNumbers {
  if (!Number.isInteger(rank) || rank < 0 || rank >= meshSize(sizes)) {
    throw new RangeError(`rank ${rank} of a mesh of ${meshSize(sizes)}`);
  }
  const coordinates = { data: 0, shard: 0, tensor: 0, pipeline: 0 };
  let rest = rank;
  for (const axis of ORDER.toReversed()) {
    coordinates[axis] = rest % sizes[axis];
    rest = Math.floor(rest / sizes[axis]);
  }
  return coordinates;
}

/** The rank that stands there. @throws {RangeError} For coordinates outside the mesh. */
export function rankOf(coordinates: MeshNumbers, sizes: MeshNumbers): number {
  return ORDER.reduce((rank, axis) => {
    const at = coordinates[axis];
    if (Number.isInteger(at) && at >= 0 && at < sizes[axis]) return rank * sizes[axis] + at;
    throw new RangeError(`${axis} ${at} of ${sizes[axis]}`);
  }, 0);
}

/** What a mesh must divide: dimensions of the model and of the batch. */
export interface MeshDivisions {
  /** Layers, cut into stages that cost the same: at most as many as there are layers. */
  readonly layers: number;
  /** Query heads, cut by tensor parallelism. */
  readonly heads: number;
  /** Key and value heads, cut by tensor parallelism; several ranks have each where there are fewer. */
  readonly kvHeads: number;
  /** Width of the feed-forward layer, cut by tensor parallelism. */
  readonly intermediateSize: number;
  /** Sequences of a step, shared out over data and shard. */
  readonly batchSize: number;
}

function indivisible(sizes: MeshNumbers, fault: string, hint?: string): ConfigError {
  return new ConfigError(`Cannot use mesh ${quoted(meshText(sizes))}: ${fault}`, { hint });
}

/** Of the numbers up to `most` that will do, the next to one that will not, as "2 or 4". */
function nearestOf(wanted: number, { most, does }: {
  readonly most: number;
  readonly does: (number: number) => boolean;
}): string {
  const all = Array.from({ length: most }, (_, i) => i + 1).filter(does);
  const below = all.findLast((number) => number < wanted);
  const above = all.find((number) => number > wanted);
  return [below, above].filter((number) => number !== undefined).join(" or ");
}

/**
 * Checks that a mesh divides what it cuts. Vocabulary and rows of a batch are cut as evenly as can be.
 *
 * @throws {ConfigError} Names the axis, the dimension and both sizes.
 */
export function checkDivisions(sizes: MeshNumbers, divisions: MeshDivisions): void {
  const { layers, heads, kvHeads, intermediateSize, batchSize } = divisions;
  const cutsHeads = (tensor: number) => kvHeads % tensor === 0 || tensor % kvHeads === 0;
  const does = (tensor: number) =>
    heads % tensor === 0 && intermediateSize % tensor === 0 && cutsHeads(tensor);
  const hint = `tensor=${nearestOf(sizes.tensor, { most: heads, does })}`;
  const cut: readonly (readonly [string, number])[] = [
    ["heads", heads],
    ["columns of the feed-forward layer", intermediateSize],
  ];
  for (const [what, count] of cut) {
    if (count % sizes.tensor === 0) continue;
    throw indivisible(sizes, `tensor=${sizes.tensor} does not divide ${count} ${what}`, hint);
  }
  if (!cutsHeads(sizes.tensor)) {
    const fault =
      `tensor=${sizes.tensor} and ${kvHeads} key and value heads: neither divides the other`;
    throw indivisible(sizes, fault, hint);
  }
  if (layers < sizes.pipeline) {
    const fault = `pipeline=${sizes.pipeline} stages for ${layers} layers`;
    throw indivisible(sizes, fault, `pipeline=${layers} at most`);
  }
  const replicas = sizes.data * sizes.shard;
  if (batchSize % replicas === 0) return;
  const product = `data=${sizes.data} times shard=${sizes.shard}`;
  const divisors = nearestOf(replicas, { most: batchSize, does: (size) => batchSize % size === 0 });
  throw indivisible(
    sizes,
    `${product} does not divide ${batchSize} sequences of a step`,
    `data times shard of ${divisors}, or another --batch-tokens`,
  );
}

/** The ranks of a run, with a communicator for each axis. */
export class Mesh {
  /** How many ranks each axis has. */
  readonly sizes: MeshNumbers;
  /** Where this rank stands. */
  readonly coordinates: MeshNumbers;
  /** All ranks. */
  readonly world: Communicator;
  /** For each axis the ranks that differ from this one in nothing else, by their coordinate. */
  readonly axes: Readonly<Record<MeshAxis, Communicator>>;
  /** Data and shard together: the ranks whose gradients are added. */
  readonly replicas: Communicator;

  /**
   * Splits the world; every rank of it calls this.
   *
   * @throws {ConfigError} Where the mesh has not as many ranks as the world.
   */
  constructor(world: Communicator, sizes: MeshNumbers) {
    if (meshSize(sizes) !== world.size) {
      const ranks = world.size === 1 ? "there is 1 rank" : `there are ${world.size} ranks`;
      const fault = `it has ${meshSize(sizes)} ranks and ${ranks}`;
      const hint = "choose axes whose product is the number of ranks";
      throw new ConfigError(`Cannot use mesh ${quoted(meshText(sizes))}: ${fault}`, { hint });
    }
    this.sizes = sizes;
    this.world = world;
    this.coordinates = coordinatesOf(world.rank, sizes);
    const along = (name: string, axes: readonly MeshAxis[]): Communicator => {
      // The color is the rank's place once it stands at the start of these axes.
      const start = { ...this.coordinates };
      for (const axis of axes) start[axis] = 0;
      return world.split({ color: rankOf(start, sizes), key: world.rank, name });
    };
    this.axes = {
      data: along("data", ["data"]),
      shard: along("shard", ["shard"]),
      tensor: along("tensor", ["tensor"]),
      pipeline: along("pipeline", ["pipeline"]),
    };
    this.replicas = along("replicas", ["data", "shard"]);
  }
}
