/**
 * The memory of one rank of replicas and shards, planned before any of it is taken.
 *
 * @module
 */

import type { Communicator } from "../comm/communicator.ts";
import type { ModelConfig } from "../model/config.ts";
import { aligned } from "../model/memory_plan.ts";
import { planTrainingBytes } from "../model/training/memory.ts";
import { heldElements } from "../model/training/parts.ts";
import { planArenas } from "../model/training/slots.ts";
import type { PlanOptions, TrainingBytes } from "../model/training/trainable.ts";
import { bucketsOf } from "./buckets.ts";
import { stagingElements } from "./data.ts";
import { deviceMessageBytes, deviceTravelBytes, type MailPlan } from "./device_memory.ts";
import { treeArenas } from "./gradient_tree.ts";
import type { ReduceOrder } from "./micro_batches.ts";
import { type Partition, partitionOf, piecesOf } from "./partition.ts";
import { gatherElements } from "./unit_weights.ts";
import { pieceBytes } from "./zero.ts";

/** How a rank trains with others. */
export interface ReplicaPlanOptions extends PlanOptions {
  /** Its place on the shard axis. @default {alone} */
  readonly shard?: Pick<Communicator, "rank" | "size"> | undefined;
  /** Replicas that own the same: the size of the data axis. @default {1} */
  readonly replicas?: number | undefined;
  /** How gradients are added up. @default {"ranks"} */
  readonly order?: ReduceOrder | undefined;
  /** Micro-batches of a step. @default {1} */
  readonly microBatches?: number | undefined;
  /** Bytes of a bucket of gradients. */
  readonly bucketBytes?: number | undefined;
  /** What messages of a pipeline depend on, where the ranks' GPUs are connected. */
  readonly mail?: MailPlan | undefined;
}

/** Bytes of training on one of several ranks. */
export interface ReplicaBytes extends TrainingBytes {
  /** Sums of gradients that wait in the tree of `--reduce tree`. */
  readonly tree: number;
  /**
   * Gradients and weights on their way between ranks, outside the backend's memory unless the ranks' GPUs
   * are connected; of gradients that are shared out also the sums that wait in the tree.
   */
  readonly buckets: number;
  /** Messages between the stages of a pipeline, on connected GPUs. */
  readonly messages: number;
}

/**
 * Plans a rank: what {@linkcode planTrainingBytes} plans, its part of what is shared out in the place of
 * all, and what waits or travels.
 */
export function planReplicaBytes(config: ModelConfig, options: ReplicaPlanOptions): ReplicaBytes {
  const { shard = { rank: 0, size: 1 }, streamed } = options;
  const { whole, units } = planArenas(config, options);
  const parameters = whole.held.map((held) => ({ count: heldElements(held) }));
  const partition = partitionOf(parameters, { units, ranks: shard.size });
  const own = pieceBytes(piecesOf(partition, shard.rank));
  const { total: _, ...planned } = planTrainingBytes(config, options);
  const sums = options.order === "tree" ? treeArenas(options.microBatches ?? 1) : 0;
  const bytes = {
    ...planned,
    weights: planned.weights + (streamed?.weights ? own : 0),
    gradients: planned.gradients + (streamed?.gradients ? own : 0),
    moments: shard.size > 1 ? 2 * own : planned.moments,
    tree: streamed?.gradients ? 0 : sums * aligned(4 * whole.elements),
    buckets: options.parts?.connected
      ? deviceTravelBytes(config, options)
      : travellingBytes(options, { parameters, partition }) +
        (streamed?.gradients && sums > 0 ? (sums + 1) * own : 0),
    messages: options.mail === undefined ? 0 : deviceMessageBytes(config, options, options.mail),
  };
  return { ...bytes, total: Object.values(bytes).reduce((sum, kind) => sum + kind, 0) };
}

/** Staging, and as much again for what arrives. */
function travellingBytes(
  { shard, replicas = 1, bucketBytes }: ReplicaPlanOptions,
  { parameters, partition }: {
    readonly parameters: readonly { readonly count: number }[];
    readonly partition: Partition;
  },
): number {
  const shards = shard?.size ?? 1;
  if (shards * replicas === 1) return 0;
  const staging = stagingElements(bucketsOf(parameters, bucketBytes));
  const buckets = staging.reduce((sum, elements) => sum + elements, 0);
  const gathered = shards > 1 ? gatherElements(partition.lengths) : 0;
  return 2 * 4 * (buckets + gathered);
}
