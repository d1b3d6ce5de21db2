/**
 * The ranks that a command runs on, opened from the process's environment and ended as its work ends.
 *
 * @module
 */

import { asError, Interrupted } from "../lib/base/errors.ts";
import { openWorld, type World } from "../lib/comm/open.ts";
import type { Io } from "./io.ts";

/**
 * Does work on all ranks that a launcher has started, or on this one alone. All end together: where
 * one fails, the others fail too and name it.
 */
export async function onWorld<T>(io: Io, work: (world: World) => Promise<T>): Promise<T> {
  const world = openWorld({ environment: (name) => io.env(name) });
  try {
    const result = await work(world);
    world.close();
    return result;
  } catch (thrown) {
    // Ranks are interrupted together, each after it has saved its part.
    if (thrown instanceof Interrupted) world.close();
    else world.fail(asError(thrown));
    throw thrown;
  }
}
