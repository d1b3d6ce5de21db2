/** What a replica of the test does: trains two steps, has a bit flipped or not, and compares. */

import type { Backend, BackendName } from "../../lib/backend/backend.ts";
import { openBackend } from "../../lib/backend/open.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { meshSize, parseMesh } from "../../lib/comm/mesh.ts";
import type { RunMachine } from "../../lib/train/machine.ts";
import { BATCHES, SHORT_ADAMW } from "../train/optimizer_runs.ts";
import { openRank, trainSteps } from "../train/replica_program.ts";
import { PATIENCE_MS } from "../time_limits.ts";

/** Which bit is flipped. */
export interface Flip {
  /** The mesh. */
  readonly mesh: string;
  /** What the shard axis shares. */
  readonly zero?: 1 | 2 | 3;
  /** Whose bit; nobody's without. */
  readonly rank?: number;
  /** In which numbers of the last block's last matrix. */
  readonly kind?: "weight" | "m" | "v";
}

interface CheckInput extends Flip {
  readonly backend: BackendName;
}

/** Flips the lowest bit of one number. */
function flipBit(backend: Backend, { model, optimizer }: RunMachine, kind: "weight" | "m" | "v") {
  const index = model.parameters.findIndex(({ spec }) =>
    spec.name === "layers.1.feed_forward.down"
  );
  const piece = optimizer.owned.find(({ parameter }) => parameter === index);
  const address = kind === "weight" && piece === undefined
    ? model.parameters[index]!.weight
    : piece![kind];
  const word = new Uint32Array(1);
  backend.download(word, address + 4 * 5);
  word[0]! ^= 1;
  backend.upload(address + 4 * 5, word);
}

/** Returns how many steps were compared. */
export async function run(world: Communicator, input: CheckInput): Promise<number> {
  const { mesh, zero = 1, rank, kind = "weight" } = input;
  const backend = await openBackend({ backend: input.backend, threads: 1 });
  await backend.ready();
  try {
    const settings = { ...SHORT_ADAMW, zero, steps: 2 };
    const replica = { backend: input.backend, settings, mesh, batches: BATCHES };
    const machine = await openRank(backend, world, replica);
    const { state } = await trainSteps(machine, replica);
    machine.engine.settle?.();
    if (rank === world.rank) flipBit(backend, machine, kind);
    machine.compare(state.step);
    return state.step;
  } finally {
    backend.close();
  }
}

/** Steps that each rank compared. */
export function comparedRanks(backend: BackendName, flip: Flip): Promise<number[]> {
  const ranks = meshSize(parseMesh(flip.mesh));
  const input: CheckInput = { backend, ...flip };
  return runLocal(new URL(import.meta.url), { ranks, input, timeLimitMs: PATIENCE_MS });
}
