import assert from "node:assert/strict";
import { ConfigError } from "../../../lib/base/errors.ts";
import { launchFrom } from "../../../lib/comm/mpi/launch.ts";

type Variables = Readonly<Record<string, string>>;

function launchOf(variables: Variables) {
  return launchFrom((name) => variables[name]);
}

Deno.test("the rank is found in the variables of every launcher", () => {
  const cases: readonly (readonly [Variables, object])[] = [
    [
      // What Open MPI 4 sets.
      {
        ...{ OMPI_COMM_WORLD_RANK: "3", OMPI_COMM_WORLD_SIZE: "4", PMIX_RANK: "3" },
        ...{ OMPI_COMM_WORLD_LOCAL_SIZE: "2", OMPI_COMM_WORLD_LOCAL_RANK: "1" },
      },
      {
        ...{ launcher: "mpirun of Open MPI", family: "Open MPI", rank: 3, size: 4 },
        ...{ localSize: 2, localRank: 1 },
      },
    ],
    [
      // What Hydra sets.
      { PMI_RANK: "0", PMI_SIZE: "2", PMI_FD: "7", MPI_LOCALRANKID: "0" },
      {
        ...{ launcher: "mpiexec of MPICH", family: "MPICH", rank: 0, size: 2 },
        ...{ localSize: undefined, localRank: 0 },
      },
    ],
    [
      // What srun --mpi=pmix sets.
      {
        ...{ SLURM_STEP_ID: "0", SLURM_PROCID: "5", SLURM_STEP_NUM_TASKS: "8" },
        ...{ SLURM_NTASKS: "16", PMIX_RANK: "5", SLURM_LOCALID: "1" },
      },
      {
        ...{ launcher: "srun", family: undefined, rank: 5, size: 8 },
        ...{ localSize: undefined, localRank: 1 },
      },
    ],
    [
      // mpirun within a job of Slurm: the ranks are mpirun's.
      {
        ...{ OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "2" },
        ...{ SLURM_STEP_ID: "0", SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "1" },
      },
      {
        launcher: "mpirun of Open MPI",
        family: "Open MPI",
        rank: 1,
        size: 2,
        localSize: undefined,
        localRank: undefined,
      },
    ],
  ];
  for (const [variables, wanted] of cases) assert.deepEqual(launchOf(variables), wanted);
});

Deno.test("a process that no launcher started is no rank, within a job of Slurm too", () => {
  assert.equal(launchOf({}), undefined);
  // The script of a job: it has a number and a count of tasks, and is no task of a step.
  assert.equal(launchOf({ SLURM_JOB_ID: "9", SLURM_PROCID: "0", SLURM_NTASKS: "4" }), undefined);
});

Deno.test("an environment that says half of which rank this is is refused, with its variables", () => {
  const cases: readonly (readonly [Variables, RegExp])[] = [
    [{ OMPI_COMM_WORLD_RANK: "1" }, /OMPI_COMM_WORLD_RANK is set and OMPI_COMM_WORLD_SIZE is not/],
    [{ OMPI_COMM_WORLD_SIZE: "2" }, /OMPI_COMM_WORLD_SIZE is set and OMPI_COMM_WORLD_RANK is not/],
    [{ PMI_RANK: "1" }, /PMI_RANK is set and PMI_SIZE is not/],
    [{ PMI_SIZE: "2" }, /PMI_SIZE is set and PMI_RANK is not/],
    [{ PMIX_RANK: "0" }, /PMIX_RANK is set and PMIX_SIZE or SLURM_STEP_NUM_TASKS or .* is not/],
    [{ SLURM_STEP_ID: "0", SLURM_PROCID: "1" }, /SLURM_PROCID is set and SLURM_STEP_NUM_TASKS or/],
    [{ PMI_RANK: "one", PMI_SIZE: "2" }, /PMI_RANK is "one", no number/],
    [{ PMI_RANK: "0", PMI_SIZE: "-2" }, /PMI_SIZE is "-2", no number/],
    [{ PMI_RANK: "2", PMI_SIZE: "2" }, /PMI_RANK is 2 and PMI_SIZE is 2, and ranks count from 0/],
  ];
  for (const [variables, wanted] of cases) {
    assert.throws(() => launchOf(variables), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, wanted);
      return true;
    });
  }
});
