/**
 * How `llamero train --plan` names kinds of memory, whichever of its plans has them.
 *
 * @module
 */

import { formatMemory } from "../../lib/base/format.ts";
import type { ReplicaBytes } from "../../lib/parallel/replica_memory.ts";
import type { RankBytes } from "../../lib/plan/rank_memory.ts";
import type { Row } from "./train_plan_step.ts";

/** Kinds of memory: of this machine's ranks, and of an accelerator's. */
export type MemoryKind = Exclude<keyof ReplicaBytes | keyof RankBytes, "total">;

/** Names in the order in which they are shown. */
const NAMES: Readonly<Record<MemoryKind, string>> = {
  weights: "weights (f32)",
  gradients: "gradients (f32)",
  moments: "moments of the optimizer (f32)",
  compute: "bf16 copies",
  packed: "packed copies",
  kept: "activations kept for the backward pass",
  working: "one block's work",
  head: "chunks of logits",
  exchange: "rows on their way between tensor ranks",
  tree: "sums that wait in --reduce tree",
  buckets: "gradients and weights on their way between ranks",
  messages: "messages between stages",
  travelling: "gathered weights, gradients on their way",
};

/** Rows of the kinds that there are. */
export function memoryKindRows(bytes: Readonly<Partial<Record<MemoryKind, number>>>): Row[] {
  const kinds = Object.keys(NAMES) as MemoryKind[];
  return kinds.filter((kind) => (bytes[kind] ?? 0) > 0)
    .map((kind) => [NAMES[kind], formatMemory(bytes[kind]!)]);
}
