/**
 * MPI for the checks of a machine where nobody installed anything.
 *
 * @module
 */

import { installPackages } from "./ci_apt.ts";
import { outputOf } from "./rust_toolchain.ts";

/** Installs Open MPI, and what makes several hosts of one machine; returns why not, or nothing. */
export async function installMpi(): Promise<string | undefined> {
  if (outputOf("mpirun", ["--version"]) !== undefined) return undefined;
  return await installPackages(["openmpi-bin"], () => ["iproute2"]);
}
