/**
 * The GPUs of the ranks of a mesh, connected: by NCCL along each axis, so that what ranks send each other
 * while they train does not go by way of the processor.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { openDeviceRanks } from "../comm/device/open.ts";
import {
  type DevicePipeline,
  type DevicePipelineOptions,
  openDevicePipeline,
} from "../comm/device/pipeline.ts";
import type { DeviceRanks } from "../comm/device/ranks.ts";
import type { Mesh } from "../comm/mesh.ts";
import type { Counted } from "./gradient_engine.ts";

/** The GPUs along each axis; absent along those of one rank. */
export interface ConnectedGpus {
  /** Replicas that own the same. */
  readonly data: DeviceRanks | undefined;
  /** Those who share out what a replica has. */
  readonly shard: DeviceRanks | undefined;
  /** Those who share every matrix. */
  readonly tensor: DeviceRanks | undefined;
  /** Those who have other layers. */
  readonly pipeline: DevicePipeline | undefined;
  /** All that count what they send. */
  readonly counted: readonly Counted[];
  /** Ends all channels. */
  close(): void;
}

/** How GPUs are connected. */
export interface ConnectOptions extends Pick<DevicePipelineOptions, "wraps" | "endsMeet"> {
  /** The ranks. */
  readonly mesh: Pick<Mesh, "axes" | "world">;
  /** Name or path of NCCL, or "off". */
  readonly library?: string | undefined;
}

/**
 * Connects the GPUs of a mesh; all ranks call this.
 *
 * @returns Nothing where there are none, where ranks share one, or where NCCL is left out.
 * @throws {BackendError} Where a rank has no NCCL that will do.
 * @throws {CommunicationError} Where a rank fails meanwhile.
 */
export function connectGpus(
  backend: Backend,
  { mesh: { axes, world: among }, library, wraps, endsMeet }: ConnectOptions,
): ConnectedGpus | undefined {
  using opened = new DisposableStack();
  const kept = <T extends { close(): void }>(ranks: T | undefined) => {
    if (ranks !== undefined) opened.defer(() => ranks.close());
    return ranks;
  };
  const open = (ranks: Mesh["axes"]["data"]) =>
    kept(openDeviceRanks(ranks, backend, { library, among }));
  const [data, shard, tensor] = [open(axes.data), open(axes.shard), open(axes.tensor)];
  const pipeline = kept(
    openDevicePipeline(axes.pipeline, backend, { library, among, wraps, endsMeet }),
  );
  const counted = [data, shard, tensor, ...pipeline?.counted ?? []]
    .filter((ranks) => ranks !== undefined);
  if (counted.length === 0) return undefined;
  const all = opened.move();
  return { data, shard, tensor, pipeline, counted, close: () => all.dispose() };
}
