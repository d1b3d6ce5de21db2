/**
 * Which MPI libraries are looked for, and what to install where none is.
 *
 * @module
 */

import { findMpi, type MpiLibrary } from "../../backend/mpi_link.ts";
import type { MpiFamily } from "./launch.ts";

/** The names that systems give to each family's library, newest first. */
const NAMES: Readonly<Record<"darwin" | "linux", Readonly<Record<MpiFamily, readonly string[]>>>> =
  {
    linux: {
      "Open MPI": [
        "libmpi.so.40",
        "/usr/lib64/openmpi/lib/libmpi.so.40",
        "libmpi.so.80",
        "libmpi.so.20",
      ],
      "MPICH": [
        "libmpich.so.12",
        "libmpi.so.12",
        "/usr/lib64/mpich/lib/libmpi.so.12",
      ],
    },
    darwin: {
      "Open MPI": [
        "libmpi.40.dylib",
        "/opt/homebrew/opt/open-mpi/lib/libmpi.40.dylib",
        "/usr/local/opt/open-mpi/lib/libmpi.40.dylib",
      ],
      "MPICH": [
        "libmpi.12.dylib",
        "/opt/homebrew/opt/mpich/lib/libmpi.12.dylib",
        "/usr/local/opt/mpich/lib/libmpi.12.dylib",
      ],
    },
  };

/** What installs MPI, by system. */
export const INSTALL_MPI: string =
  "apt install openmpi-bin (Debian, Ubuntu), dnf install openmpi (Fedora), brew install open-mpi (macOS)";

/** The names to try: those of the launcher's family first. */
export function mpiLibraryNames(options: {
  readonly family?: MpiFamily | undefined;
  readonly system?: typeof Deno.build.os;
} = {}): readonly string[] {
  const { family = "Open MPI", system = Deno.build.os } = options;
  const names = NAMES[system === "darwin" ? "darwin" : "linux"];
  const other = family === "MPICH" ? "Open MPI" : "MPICH";
  return [...names[family], ...names[other]];
}

/**
 * The MPI library that this system has, or that of a name or path.
 *
 * @throws {BackendError} Where it has none.
 * @throws {Unavailable} Where the native library, through which it is reached, is not here.
 */
export function findMpiLibrary(name?: string): MpiLibrary {
  return findMpi(name === undefined ? mpiLibraryNames() : [name]);
}
