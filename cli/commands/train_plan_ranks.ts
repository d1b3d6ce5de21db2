/**
 * The part of `llamero train --plan` about several ranks of this machine: memory of each, what they send,
 * how long stages wait.
 *
 * @module
 */

import { formatMemory } from "../../lib/base/format.ts";
import { coordinatesOf, MESH_AXES, type MeshNumbers, meshText } from "../../lib/comm/mesh.ts";
import type { ReplicaBytes } from "../../lib/parallel/replica_memory.ts";
import type { RanksPlan } from "../../lib/train/rank_plan.ts";
import { memoryKindRows } from "./train_plan_memory.ts";
import type { PlanSection, Row } from "./train_plan_step.ts";
import { trafficRows } from "./train_plan_step.ts";

/** Ranks whose memory is shown one by one. */
const SHOWN_RANKS = 16;

/** Ranks of this machine as sections of a plan. */
export function rankSections(plan: RanksPlan): PlanSection[] {
  const { mesh, microBatches, traffic, bubble, ranks } = plan;
  const most = ranks.reduce((a, b) => b.bytes.total > a.bytes.total ? b : a);
  return [
    {
      title: "Mesh",
      rows: [
        ["mesh", meshText(mesh)],
        ["micro-batches of a rank in a step", String(microBatches)],
        ...(mesh.pipeline > 1
          ? [["pipeline bubble", `${(100 * bubble).toFixed(1)}%`, "of what the ranks compute"]]
          : []),
      ],
    },
    { title: `Memory of rank ${most.rank}, which needs the most`, rows: memoryRows(most.bytes) },
    ...(ranks.length > 1 ? [{ title: "Memory of every rank", rows: allRows(plan) }] : []),
    { title: "Bytes that a rank sends in a step", rows: trafficRows(traffic) },
  ].filter(({ rows }) => rows.length > 0);
}

function memoryRows(bytes: ReplicaBytes): Row[] {
  return [...memoryKindRows(bytes), ["all", formatMemory(bytes.total)]];
}

function placeText(rank: number, mesh: MeshNumbers): string {
  const at = coordinatesOf(rank, mesh);
  return MESH_AXES.filter((axis) => mesh[axis] > 1).map((axis) => `${axis} ${at[axis]}`).join(", ");
}

/** Ranks of the first replica: those of the others are the same. */
function allRows({ ranks, mesh }: RanksPlan): Row[] {
  const rows = ranks.slice(0, SHOWN_RANKS).map(({ rank, bytes }): Row => [
    `rank ${rank}`,
    formatMemory(bytes.total),
    placeText(rank, mesh),
  ]);
  const more = ranks.length - SHOWN_RANKS;
  return more > 0 ? [...rows, [`and ${more} more`]] : rows;
}
