/** What a rank of the tests of JSON between ranks does. */

import type { Communicator } from "../../lib/comm/communicator.ts";
import { broadcastJson, gatherJson } from "../../lib/comm/json.ts";

/** Gathers a value of each rank, and hears one of the last. */
export function run(world: Communicator, input: { readonly values: readonly unknown[] }): unknown {
  const own = input.values[world.rank];
  const root = world.size - 1;
  return [gatherJson(world, own), broadcastJson(world, { value: own, root })];
}
