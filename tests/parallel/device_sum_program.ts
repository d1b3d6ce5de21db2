/** What a replica with an emulated GPU does: gradients of its share of a golden batch, added up. */

import type { Backend } from "../../lib/backend/backend.ts";
import { openCuda } from "../../lib/backend/cuda.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { openDeviceRanks } from "../../lib/comm/device/open.ts";
import { Mesh } from "../../lib/comm/mesh.ts";
import { GradientReducer, shareOf } from "../../lib/parallel/data.ts";
import { DeviceGradientReducer } from "../../lib/parallel/device_sum.ts";
import { Ownership } from "../../lib/parallel/partition.ts";
import { EMULATED_LIBRARY, EMULATED_NCCL } from "../../scripts/build_cuda.ts";
import { fourSequences } from "./data_program.ts";
import { openGolden, sequencesOf } from "../model/training/golden_training.ts";

/** How the replica works. */
export interface DeviceSumInput {
  /** Ranks that share out what they own. */
  readonly shard: number;
  /** Whether gradients are added up on the GPUs, or in the memory of the processor. */
  readonly onGpus: boolean;
  /** Bytes of a bucket. */
  readonly bucketBytes: number;
  /** Whether buckets leave when they are ready. */
  readonly overlap: boolean;
}

/** What it has in the end. */
export interface DeviceSumResult {
  /** Gradients by parameter. */
  readonly gradients: readonly Float32Array[];
  /** Places of the elements that this rank owns: parameter, first, count. */
  readonly own: readonly (readonly [number, number, number])[];
  /** Whether NCCL was used. */
  readonly connected: boolean;
  /** Bytes that went between processors' memories in the sums. */
  readonly hostBytes: number;
  /** Bytes that went between GPUs. */
  readonly deviceBytes: number;
}

interface Sum {
  ready(index: number): void;
  finish(): void;
}

/** Two steps of gradients, the second one returned. */
export async function run(world: Communicator, input: DeviceSumInput): Promise<DeviceSumResult> {
  const backend = openCuda({ library: EMULATED_LIBRARY, localRank: world.rank });
  try {
    return await summed(world, input, backend);
  } finally {
    backend.close();
  }
}

async function summed(
  world: Communicator,
  { shard, onGpus, bucketBytes, overlap }: DeviceSumInput,
  backend: Backend,
): Promise<DeviceSumResult> {
  const sizes = { data: world.size / shard, shard, tensor: 1, pipeline: 1 };
  const { axes } = new Mesh(world, sizes);
  const model = await openGolden(backend, "llama_gqa");
  const { parameters } = model;
  const ownership = shard > 1
    ? new Ownership(axes.shard, { parameters, units: model.units })
    : undefined;
  const partition = ownership?.partition;
  const open = (ranks: Communicator) =>
    onGpus ? openDeviceRanks(ranks, backend, { library: EMULATED_NCCL }) : undefined;
  const [replicas, shards] = [open(axes.data), open(axes.shard)];
  const device = replicas !== undefined || shards !== undefined;
  const common = { parameters, bucketBytes, overlap };
  const sum: Sum = device
    ? new DeviceGradientReducer(backend, {
      ...{ ...common, replicas },
      shard: shards && { ranks: shards, partition: partition! },
    })
    : new GradientReducer(backend, { ...common, replicas: axes.data, shard: ownership });
  const batch = fourSequences();
  const { first, count } = shareOf(batch.sequences, world);
  const before = hostBytes(axes);
  for (let step = 0; step < 2; step++) {
    for (let b = first; b < first + count; b++) {
      const options = { weightScale: 0.01, accumulate: b > first };
      model.forwardBackward(sequencesOf(batch, { first: b, count: 1 }), options);
    }
    for (const index of [...parameters.keys()].reverse()) sum.ready(index);
    sum.finish();
  }
  const gradients = parameters.map((p) => model.gradient(p));
  const sent = [replicas, shards].map((ranks) => ranks?.traffic().send?.bytes ?? 0);
  const deviceBytes = sent.reduce((sum, bytes) => sum + bytes, 0);
  const result = {
    ...{ gradients, connected: device, deviceBytes, hostBytes: hostBytes(axes) - before },
    own: ownership?.own.map(({ parameter, first, count }) => [parameter, first, count] as const) ??
      [],
  };
  for (const ranks of [replicas, shards]) ranks?.close();
  return result;
}

function hostBytes(axes: Mesh["axes"]): number {
  return [axes.data, axes.shard].flatMap((axis) => Object.values(axis.traffic()))
    .reduce((sum, { bytes }) => sum + bytes, 0);
}
