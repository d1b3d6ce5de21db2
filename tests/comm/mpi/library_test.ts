import assert from "node:assert/strict";
import { findMpi } from "../../../lib/backend/mpi_link.ts";
import { BackendError } from "../../../lib/base/errors.ts";
import { mpiLibraryNames } from "../../../lib/comm/mpi/library.ts";
import { openWorld } from "../../../lib/comm/open.ts";
import { NO_MPI } from "./launch.ts";

const missing = NO_MPI === "mpirun is not here" ? undefined : NO_MPI;

/** Registers a test that needs the native library, and no MPI. */
function onNative(name: string, fn: () => void): void {
  if (missing === undefined) Deno.test(name, fn);
  else Deno.test({ name: `${name} (ignored: ${missing})`, ignore: true, fn: () => {} });
}

Deno.test("the launcher's family of libraries is tried first, and the other one then", () => {
  for (const system of ["linux", "darwin"] as const) {
    const open = mpiLibraryNames({ system });
    const mpich = mpiLibraryNames({ system, family: "MPICH" });
    assert.notEqual(open[0], mpich[0]);
    assert.deepEqual([...open].sort(), [...mpich].sort());
  }
});

onNative("a library that is not there is named with the loader's reason", () => {
  assert.throws(() => findMpi(["libnowhere.so.1", "libneither.so"]), (error) => {
    assert.ok(error instanceof BackendError);
    assert.match(error.message, /^Cannot load MPI: .*libnowhere.*; .*libneither/);
    return true;
  });
});

onNative("a rank without MPI says what to install", () => {
  const variables: Record<string, string> = {
    OMPI_COMM_WORLD_RANK: "1",
    OMPI_COMM_WORLD_SIZE: "2",
  };
  const world = { environment: (name: string) => variables[name], library: "libnowhere.so.1" };
  assert.throws(() => openWorld(world), (error) => {
    assert.ok(error instanceof BackendError);
    assert.match(
      error.message,
      /^Cannot connect 2 ranks: .* by mpirun of Open MPI as rank 1; Cannot/,
    );
    assert.match(
      error.hint!,
      /apt install openmpi-bin .*dnf install openmpi .*brew install open-mpi/,
    );
    return true;
  });
});

onNative("a library that is no MPI is refused with what it lacks", () => {
  const libc = Deno.build.os === "darwin" ? "libSystem.dylib" : "libc.so.6";
  assert.throws(() => findMpi([libc]), /it has no MPI_Init_thread/);
});
