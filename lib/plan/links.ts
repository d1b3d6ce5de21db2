/**
 * Which links a group of ranks talks over, and how long its collectives take on them.
 *
 * A ring or any other optimal exchange of a vector of B bytes over N ranks moves B (N - 1) / N through every
 * rank's links for a reduce-scatter or an all-gather, and twice that for an all-reduce. Where a group has r
 * ranks in each of n nodes, B (n - 1) / n has to come into every node, through the network of r devices.
 *
 * @module
 */

import type { MeshAxis, MeshNumbers } from "../comm/mesh.ts";
import type { Efficiency } from "./efficiency.ts";
import type { Fabric } from "./hardware.ts";

/** The ranks of one axis, as they lie on the nodes. */
export interface Group {
  /** Ranks. */
  readonly size: number;
  /** Of them on one node. */
  readonly perNode: number;
  /** Axes of a torus that they use. */
  readonly axes: number;
}

/** A collective of one vector. */
export type Collective = "allGather" | "reduceScatter" | "allReduce" | "send";

/** Ranks between neighbours of an axis: tensor varies fastest, then shard, data, pipeline. */
function strideOf(axis: MeshAxis, { tensor, shard, data }: MeshNumbers): number {
  const strides = {
    tensor: 1,
    shard: tensor,
    data: tensor * shard,
    pipeline: tensor * shard * data,
  };
  return strides[axis];
}

/** Devices of a node that a run of so many uses: pods that are not full share them evenly. */
function nodeSizeOf({ nodeSize, torusAxes }: Fabric, devices: number): number {
  return torusAxes === undefined ? nodeSize : devices / Math.ceil(devices / nodeSize);
}

/**
 * How an axis of a mesh lies on the nodes. In a torus tensor parallelism has one axis to itself, and the
 * others have the rest, as in PaLM (Chowdhery et al. 2022, section 4).
 */
export function groupOf(
  axis: MeshAxis,
  { mesh, fabric }: { readonly mesh: MeshNumbers; readonly fabric: Fabric },
): Group {
  const { data, shard, tensor, pipeline } = mesh;
  const nodeSize = nodeSizeOf(fabric, data * shard * tensor * pipeline);
  const size = mesh[axis];
  const perNode = Math.max(1, Math.min(size, Math.floor(nodeSize / strideOf(axis, mesh))));
  const { torusAxes = 1 } = fabric;
  return { size, perNode, axes: axis === "tensor" ? 1 : Math.max(1, torusAxes - 1) };
}

/** Bytes that one rank sends for a collective of a vector of so many bytes. */
export function sentBytes(
  collective: Collective,
  { bytes, size }: { readonly bytes: number; readonly size: number },
): number {
  if (size === 1) return 0;
  if (collective === "send") return bytes;
  return (collective === "allReduce" ? 2 : 1) * bytes * (size - 1) / size;
}

/** Links and what is reached on them. */
export interface Links {
  /** The maker's figures. */
  readonly fabric: Fabric;
  /** What is reached. */
  readonly efficiency: Pick<Efficiency, "node" | "nodeLatency" | "network" | "networkLatency">;
}

/** Seconds of a collective of a vector of so many bytes, nothing else on the links. */
export function collectiveSeconds(
  collective: Collective,
  bytes: number,
  { group, fabric, efficiency }: Links & { readonly group: Group },
): number {
  const { size, perNode, axes } = group;
  if (size === 1 || bytes === 0) return 0;
  const nodes = Math.ceil(size / perNode);
  const within = fabric.nodeBandwidth * axes * efficiency.node;
  const beyond = fabric.networkBandwidth * efficiency.network;
  if (collective === "send") {
    const [rate, latency] = nodes > 1
      ? [beyond, efficiency.networkLatency]
      : [within, efficiency.nodeLatency];
    return latency + bytes / rate;
  }
  const times = collective === "allReduce" ? 2 : 1;
  const inside = perNode > 1 ? sentBytes("allGather", { bytes, size }) / within : 0;
  const outside = nodes > 1
    ? sentBytes("allGather", { bytes, size: nodes }) / (beyond * perNode)
    : 0;
  const latency = efficiency.nodeLatency + (nodes - 1) * efficiency.networkLatency;
  return times * (latency + Math.max(inside, outside));
}
