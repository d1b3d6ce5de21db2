/**
 * The options of `llamero train` that share a run between ranks.
 *
 * @module
 */

import type { PipelineScheduleName } from "../../lib/parallel/pipeline_schedule.ts";
import type { OptionSpecs } from "../command.ts";
import { integer } from "../option_values.ts";

/** How a run is shared between ranks. */
export interface RankFlags {
  /** Axes of the mesh. */
  readonly mesh: string | undefined;
  /** What shards share. */
  readonly zero: number | undefined;
  /** The order of passes in a pipeline. */
  readonly pipelineSchedule: PipelineScheduleName | undefined;
  /** Stages of each rank of an interleaved pipeline. */
  readonly stagesPerRank: number | undefined;
  /** How gradients are added up. */
  readonly reduce: "ranks" | "tree" | undefined;
  /** Ranks in one process. */
  readonly virtualRanks: number | undefined;
  /** GPUs of this machine that get a process each. */
  readonly gpus: number | undefined;
  /** Steps between comparisons of the replicas. */
  readonly checkReplicas: number | undefined;
}

/** Specs of {@linkcode RankFlags}. */
export const RANK_OPTIONS: OptionSpecs<RankFlags> = {
  mesh: {
    group: "Ranks",
    value: "AXES",
    defaultDoc: "data=<ranks>",
    doc: "how the ranks share the work, such as data=2,shard=2,tensor=2,pipeline=2",
  },
  zero: {
    group: "Ranks",
    value: "STAGE",
    parse: integer({ min: 1, max: 3 }),
    defaultDoc: "1",
    doc: "what shard shares: 1 the optimizer's state, 2 gradients too, 3 weights too",
  },
  pipelineSchedule: {
    group: "Ranks",
    value: "NAME",
    choices: ["1f1b", "interleaved"],
    defaultDoc: "1f1b",
    doc: "the order of forward and backward passes in a pipeline",
  },
  stagesPerRank: {
    group: "Ranks",
    value: "N",
    parse: integer({ min: 2 }),
    defaultDoc: "2",
    doc: "stages of each rank of an interleaved pipeline: more of them wait less and send more",
  },
  reduce: {
    group: "Ranks",
    value: "HOW",
    choices: ["ranks", "tree"],
    defaultDoc: "ranks",
    doc:
      "tree adds up gradients in one tree over micro-batches, so that the number of replicas changes no bit",
  },
  virtualRanks: {
    group: "Ranks",
    value: "N",
    parse: integer({ min: 1, max: 256 }),
    defaultDoc: "1",
    doc: "run so many ranks in this process; mpirun and srun start ranks in processes of their own",
  },
  gpus: {
    group: "Ranks",
    value: "N",
    parse: integer({ min: 1, max: 64 }),
    doc: "start a rank for each of N GPUs of this machine; not yet run on a GPU",
  },
  checkReplicas: {
    group: "Ranks",
    value: "N",
    parse: integer({ min: 0 }),
    defaultDoc: "200",
    doc:
      "steps between comparisons of the replicas' weights; a rank that differs is named; 0: never",
  },
};
