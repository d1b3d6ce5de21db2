/**
 * What a launcher tells its processes through their environment.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import { quoted } from "../../base/quoted.ts";

/** Variables of a process's environment, by name. */
export type Environment = (name: string) => string | undefined;

/** Families of MPI libraries, whose processes only their own launcher connects. */
export type MpiFamily = "Open MPI" | "MPICH";

/** One of several processes that a launcher has started. */
export interface Launch {
  /** What started it, as users call it. */
  readonly launcher: string;
  /** The family that the launcher belongs to, where it serves one alone. */
  readonly family: MpiFamily | undefined;
  /** This process, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** How many of them share this machine, where the launcher tells. */
  readonly localSize: number | undefined;
  /** Which of these it is, from 0, where the launcher tells. */
  readonly localRank: number | undefined;
}

interface Signature {
  readonly launcher: string;
  readonly family: MpiFamily | undefined;
  readonly rank: string;
  /** Any of these has the size. */
  readonly sizes: readonly string[];
  /** Has the number of processes on this machine. */
  readonly localSize?: string;
  /** Has this process's number among them. */
  readonly localRank?: string;
  /** Only where this is set too: Slurm describes whole jobs with the same names. */
  readonly within?: string;
}

/** Launchers under others come first: what `mpirun` starts within a Slurm job is `mpirun`'s. */
const SIGNATURES: readonly Signature[] = [
  {
    launcher: "mpirun of Open MPI",
    family: "Open MPI",
    rank: "OMPI_COMM_WORLD_RANK",
    sizes: ["OMPI_COMM_WORLD_SIZE"],
    localSize: "OMPI_COMM_WORLD_LOCAL_SIZE",
    localRank: "OMPI_COMM_WORLD_LOCAL_RANK",
  },
  {
    launcher: "mpiexec of MPICH",
    family: "MPICH",
    rank: "PMI_RANK",
    sizes: ["PMI_SIZE"],
    localSize: "MPI_LOCALNRANKS",
    localRank: "MPI_LOCALRANKID",
  },
  {
    launcher: "srun",
    family: undefined,
    rank: "SLURM_PROCID",
    sizes: ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
    localSize: "SLURM_NTASKS_PER_NODE",
    localRank: "SLURM_LOCALID",
    within: "SLURM_STEP_ID",
  },
  {
    launcher: "a launcher with PMIx",
    family: "Open MPI",
    rank: "PMIX_RANK",
    sizes: ["PMIX_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
  },
];

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ConfigError(`Cannot tell which rank this is: ${name} is ${quoted(text)}, no number`);
}

function halfSet(launcher: string, set: string, unset: readonly string[]): ConfigError {
  const fault = `${set} is set and ${unset.join(" or ")} is not, as ${launcher} sets both`;
  return new ConfigError(`Cannot tell which rank this is: ${fault}`, {
    hint: `unset ${set}, or start with mpirun or srun`,
  });
}

function launchOf(signature: Signature, environment: Environment): Launch | undefined {
  const { launcher, family, rank, sizes, localSize, localRank, within } = signature;
  if (within !== undefined && environment(within) === undefined) return undefined;
  const rankText = environment(rank);
  const size = sizes.find((name) => environment(name) !== undefined);
  if (rankText === undefined) {
    // Sizes of whole jobs are there without ranks too.
    const own = sizes.find((name) => name === size && !name.startsWith("SLURM_"));
    if (own !== undefined) throw halfSet(launcher, own, [rank]);
    return undefined;
  }
  if (size === undefined) throw halfSet(launcher, rank, sizes);
  const optional = (name: string | undefined) => {
    const text = name === undefined ? undefined : environment(name);
    return text === undefined ? undefined : wholeNumber(name!, text);
  };
  const launch = {
    launcher,
    family,
    rank: wholeNumber(rank, rankText),
    size: wholeNumber(size, environment(size)!),
    localSize: optional(localSize),
    localRank: optional(localRank),
  };
  if (launch.rank < launch.size) return launch;
  const fault = `${rank} is ${launch.rank} and ${size} is ${launch.size}`;
  throw new ConfigError(`Cannot tell which rank this is: ${fault}, and ranks count from 0`);
}

/**
 * The place of this process among those that a launcher started, or nothing where none did.
 *
 * @throws {ConfigError} For variables of which one is set and the other is not, or that are no rank
 *   of their size; names them.
 */
export function launchFrom(environment: Environment): Launch | undefined {
  for (const signature of SIGNATURES) {
    const launch = launchOf(signature, environment);
    if (launch !== undefined) return launch;
  }
  return undefined;
}
