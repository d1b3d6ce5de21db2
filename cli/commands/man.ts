/**
 * `llamero man`: the manual page.
 *
 * @module
 */

import { loadSpecs } from "../catalog.ts";
import type { Io } from "../io.ts";
import { manualPage } from "../roff.ts";
import { VERSION } from "../version.ts";

/** Prints the manual page in roff. */
export async function run(_values: unknown, io: Io): Promise<void> {
  io.stdout.write(manualPage(await loadSpecs(), VERSION));
}
