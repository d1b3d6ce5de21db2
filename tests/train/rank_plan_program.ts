/** Trains on a mesh of virtual ranks, and says what each took of memory and sent. */

import type { BackendName } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { Mesh, meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import { benchTrain } from "../../lib/train/bench.ts";
import { planRank } from "../../lib/train/rank_plan.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import { countedBackend } from "../counted_backend.ts";
import { PATIENCE_MS } from "../time_limits.ts";

/** What is trained. */
export interface PlannedInput {
  /** The kernels. */
  readonly backend: BackendName;
  /** The run, whose settings name the mesh. */
  readonly config: Pick<RunConfig, "model" | "settings">;
}

/** What a rank took and sent. */
export interface PlannedResult {
  /** Bytes that the backend was asked for. */
  readonly taken: number;
  /** Bytes that were planned, but for those outside the backend. */
  readonly planned: number;
  /** Bytes that it sent in a step. */
  readonly sent: number;
}

/** Three steps, of which the last is counted. */
export async function run(world: Communicator, input: PlannedInput): Promise<PlannedResult> {
  const opened = await openBackend({ backend: input.backend, threads: 1 });
  await opened.ready();
  try {
    const { backend, most } = countedBackend(opened);
    const mesh = new Mesh(world, parseMesh(input.config.settings.mesh));
    const { sentBytes } = await benchTrain(backend, input.config as RunConfig, { steps: 1, mesh });
    const { total, buckets, exchange } = planRank(input.config, mesh);
    return { taken: most(), planned: total - buckets - exchange, sent: sentBytes };
  } finally {
    opened.close();
  }
}

/** Trains on the mesh of the settings; results by rank. */
export function onMesh(input: PlannedInput): Promise<PlannedResult[]> {
  const module = new URL(import.meta.url);
  const ranks = meshSize(parseMesh(input.config.settings.mesh));
  return runLocal<PlannedResult, PlannedInput>(module, { ranks, input, timeLimitMs: PATIENCE_MS });
}
