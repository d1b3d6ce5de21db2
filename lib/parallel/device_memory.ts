/**
 * What gradients, weights and messages take of a GPU on their way to others, planned before any of it is
 * taken: staging, and where the parts of other ranks arrive.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import { mostOwnRows } from "../model/training/row_exchange.ts";
import { heldElements, stagesOf } from "../model/training/parts.ts";
import { planArenas } from "../model/training/slots.ts";
import type { PlanOptions } from "../model/training/trainable.ts";
import { bucketsOf, ordered } from "./buckets.ts";
import { deviceMailBytes } from "./device_mail.ts";
import { DEVICE_BUCKET_BYTES, deviceRoomElements, deviceStagingElements } from "./device_sum.ts";
import { treeArenas } from "./gradient_tree.ts";
import { keptScoresBytes } from "./kept_scores.ts";
import { type Partition, partitionOf, piecesOf } from "./partition.ts";
import { stagesOfUnits } from "./pipeline_stages.ts";
import type { ReplicaPlanOptions } from "./replica_memory.ts";
import { tiedRoomBytes } from "./tied_embedding.ts";
import { gatherElements } from "./unit_weights.ts";

/** What a pipeline's messages depend on. */
export interface MailPlan {
  /** Ranks of the pipeline. */
  readonly ranks: number;
  /** Stages of each. */
  readonly chunks: number;
  /** The most micro-batches whose scores are kept. */
  readonly microBatches: number;
}

/** Bytes of gradients and weights on their way over the data axis and the shard axis. */
export function deviceTravelBytes(config: ModelConfig, options: ReplicaPlanOptions): number {
  const { shard = { rank: 0, size: 1 }, replicas = 1, streamed } = options;
  if (shard.size * replicas === 1) return 0;
  const { whole, units } = planArenas(config, options);
  const parameters = whole.held.map((held) => ({ count: heldElements(held) }));
  const partition = partitionOf(parameters, { units, ranks: shard.size });
  const gathered = shard.size > 1 ? gatherElements(partition.lengths) : 0;
  const elements = gradientElements(options, { parameters, units, partition }) + gathered;
  return 4 * (elements + (streamed?.gradients ? waitingElements(options, partition) : 0));
}

/** Staging of each stage's gradients, and the largest room of either axis, which all stages share. */
function gradientElements(
  options: ReplicaPlanOptions,
  { parameters, units, partition }: {
    readonly parameters: readonly { readonly count: number }[];
    readonly units: readonly (readonly number[])[];
    readonly partition: Partition;
  },
): number {
  const { shard = { rank: 0, size: 1 }, replicas = 1, streamed, parts = {} } = options;
  const { bucketBytes = DEVICE_BUCKET_BYTES } = options;
  const stages = parts.stages ?? [{ layers: units.length - 2 }];
  const stageOf = stagesOfUnits(stages);
  let staging = 0;
  const rooms = { shard: 0, data: 0 };
  for (const stage of stages.keys()) {
    const places = units.flatMap((unit, at) => stageOf[at] === stage ? unit : []);
    const buckets = bucketsOf(places.map((place) => parameters[place]!), bucketBytes)
      .map((bucket) => ({ ...bucket, parameters: bucket.parameters.map((at) => places[at]!) }))
      .map((bucket) => {
        const isCut = shard.size > 1;
        return ordered(bucket, { parameters, partition: isCut ? partition : undefined });
      });
    staging += deviceStagingElements(buckets, { partitioned: streamed?.gradients ?? false })
      .reduce((sum, elements) => sum + elements, 0);
    const room = deviceRoomElements(buckets, {
      ...{ shards: shard.size, shardRank: shard.rank, replicas },
    });
    rooms.shard = Math.max(rooms.shard, room.shard);
    rooms.data = Math.max(rooms.data, room.data);
  }
  return staging + rooms.shard + rooms.data;
}

/** Own gradients of micro-batches that wait for others to be added to. */
function waitingElements(
  { shard = { rank: 0, size: 1 }, order, microBatches = 1 }: ReplicaPlanOptions,
  partition: Partition,
): number {
  if (order !== "tree") return 0;
  const own = piecesOf(partition, shard.rank).reduce((sum, { count }) => sum + count, 0);
  return treeArenas(microBatches) * own;
}

/** Bytes of messages between the stages of a pipeline, and of what waits for the end of a step. */
export function deviceMessageBytes(
  config: ModelConfig,
  options: PlanOptions,
  { ranks, chunks, microBatches }: MailPlan,
): number {
  if (ranks === 1) return 0;
  const { maxRows, parts = {} } = options;
  const ownRows = mostOwnRows(maxRows, parts.tensor?.size ?? 1);
  const stages = stagesOf(config, parts);
  const hasHead = stages.some(({ head }) => head);
  const isEnd = hasHead || stages.some(({ embedding }) => embedding);
  const { held } = planArenas(config, options).whole;
  const embedding = held.find(({ spec }) => spec.role === "embedding");
  const meets = config.tieWordEmbeddings && isEnd && embedding !== undefined;
  return deviceMailBytes({ ranks, chunks, largest: ownRows * config.hiddenSize }) +
    (hasHead ? keptScoresBytes({ maxRows, microBatches }) : 0) +
    (meets ? tiedRoomBytes(heldElements(embedding)) : 0);
}
