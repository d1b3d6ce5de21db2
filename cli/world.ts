/**
 * The ranks that a command runs on, opened from the process's environment and ended as its work ends.
 *
 * @module
 */

import { asError, CommunicationError, ConfigError, Interrupted } from "../lib/base/errors.ts";
import { openWorld, type World } from "../lib/comm/open.ts";
import { ToldElsewhere } from "./failure.ts";
import type { Io } from "./io.ts";

/**
 * Does work on all ranks that a launcher has started, or on this one alone. All end together: where
 * one fails, the others fail too and name it.
 */
export async function onWorld<T>(io: Io, work: (world: World) => Promise<T>): Promise<T> {
  const world = openWorld({
    environment: (name) => io.env(name),
    library: io.env("LLAMERO_MPI"),
    cudaLibrary: io.env("LLAMERO_CUDA"),
  });
  const { rank } = world.communicator;
  try {
    const result = await work(world);
    world.close();
    return result;
  } catch (thrown) {
    if (isEverybodys(thrown)) world.close();
    else world.fail(asError(thrown));
    const isShared = thrown instanceof ConfigError || thrown instanceof Interrupted;
    if (rank > 0 && isShared) throw new ToldElsewhere(thrown.exitCode);
    if (isAnothers(thrown, world)) throw new ToldElsewhere(1);
    throw thrown;
  }
}

const refusals = new WeakSet<Error>();

/** Marks an error as one that this rank has told the others about, who end as it does. */
export function refusedByAll<T extends Error>(error: T): T {
  refusals.add(error);
  return error;
}

/** Whether rank 0, which writes to the same terminal, says the same: that some other rank has failed. */
function isAnothers(thrown: unknown, { transport, communicator: { rank } }: World): boolean {
  if (transport !== "nccl" || rank === 0) return false;
  return thrown instanceof CommunicationError && thrown.rank !== rank;
}

/**
 * Whether all ranks end for the same reason, so that it is no failure of this one: they are interrupted
 * together, each after it has saved its part, and refuse the same config, which one of them says.
 */
function isEverybodys(thrown: unknown): boolean {
  return thrown instanceof Interrupted || thrown instanceof ToldElsewhere ||
    thrown instanceof ConfigError || (thrown instanceof Error && refusals.has(thrown));
}
