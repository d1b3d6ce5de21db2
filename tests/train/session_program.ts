/** What a rank of the tests of whole runs does: a session of a run. */

import type { BackendName } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import { Interrupted } from "../../lib/base/errors.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import type { RunEvent } from "../../lib/train/events.ts";
import type { MetricsRow } from "../../lib/train/metrics.ts";
import { trainSession } from "../../lib/train/run.ts";
import type { RunConfig } from "../../lib/train/run_config.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { VOCABULARY } from "./run_fixture.ts";

/** What the rank is given. */
export interface SessionInput {
  /** The run's config. */
  readonly config: RunConfig;
  /** The run's folder. */
  readonly run: string;
  /** The backend of each rank. */
  readonly backend: BackendName | "auto";
  /** The step after which a weight of the first rank is changed by a bit. */
  readonly corrupted?: number;
  /** The step after which this rank fails, or is asked to end, which all do then. */
  readonly stops?: {
    readonly rank: number;
    readonly step: number;
    readonly how: "failure" | "interruption";
  };
}

/** What it saw. */
export interface SessionResult {
  /** Rows that it was told, on the first rank. */
  readonly rows: readonly MetricsRow[];
  /** Events that it was told, on the first rank. */
  readonly events: readonly RunEvent[];
}

/** Trains as one rank of all, one run after the other. */
export async function run(
  world: Communicator,
  inputs: readonly SessionInput[],
): Promise<SessionResult[]> {
  const results: SessionResult[] = [];
  for (const input of inputs) results.push(await session(world, input));
  return results;
}

async function session(world: Communicator, input: SessionInput): Promise<SessionResult> {
  const { config, run, backend, stops, corrupted } = input;
  const rows: MetricsRow[] = [];
  const events: RunEvent[] = [];
  let steps = 0;
  const trained = trainSession({
    config,
    paths: runPaths(run),
    world,
    openBackend: () => openBackend({ backend, threads: 1 }),
    tokenizer: { files: [], tokenBytes: new Uint16Array(VOCABULARY).fill(1) },
    signal: {
      get aborted() {
        if (stops?.rank !== world.rank || steps++ !== stops.step) return false;
        if (stops.how === "failure") throw new Error("struck");
        return true;
      },
    },
    observe: ({ machine, backend }) => ({
      step: (row) => {
        rows.push(row);
        if (row.step !== corrupted) return;
        const { weight } = machine.model.parameters[1]!;
        const word = new Uint32Array(1);
        backend.download(word, weight);
        word[0]! ^= 1;
        backend.upload(weight, word);
      },
      event: (event) => void events.push(event),
      rewound: () => {},
      flopsPerToken: () => 1,
    }),
  });
  await trained.catch((thrown) => {
    if (!(thrown instanceof Interrupted)) throw thrown;
  });
  return { rows, events };
}
