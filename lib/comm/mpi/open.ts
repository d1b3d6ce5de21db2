/**
 * Opens the world of the processes that a launcher has started, over MPI.
 *
 * @module
 */

import { findMpi, type MpiLink, openMpiLink } from "../../backend/mpi_link.ts";
import { BackendError, ConfigError } from "../../base/errors.ts";
import type { Launch } from "./launch.ts";
import { INSTALL_MPI, mpiLibraryNames } from "./library.ts";
import { MpiTransport } from "./transport.ts";

/** How a world over MPI is opened; times are in milliseconds. */
export interface MpiOptions {
  /** Name or path of the MPI library to load instead of the usual ones. */
  readonly library?: string | undefined;
  /** Between two signs of life of a rank. */
  readonly heartbeatMs?: number | undefined;
  /** A rank without signs of life for so long is taken for lost. */
  readonly silenceMs?: number | undefined;
  /** How long the ranks may take to meet. */
  readonly openingMs?: number | undefined;
}

const HEARTBEAT_MS = 1000;
/** Signs of life come from a thread that does nothing else: fifteen in a row are not late, but lost. */
const SILENCE_MS = 15_000;
const OPENING_MS = 120_000;

/** An open link with its transport. */
export interface MpiWorld {
  /** The link of this process. */
  readonly link: MpiLink;
  /** What carries messages over it. */
  readonly transport: MpiTransport;
}

/**
 * Starts MPI and meets the other ranks.
 *
 * @throws {BackendError} Where MPI is not here or does not start; says what to install.
 * @throws {ConfigError} Where MPI sees other ranks than the launcher has announced.
 */
export function openMpi(launch: Launch, options: MpiOptions = {}): MpiWorld {
  const { heartbeatMs = HEARTBEAT_MS, silenceMs = SILENCE_MS, openingMs = OPENING_MS } = options;
  const { library } = options;
  const libraries = library === undefined ? mpiLibraryNames({ family: launch.family }) : [library];
  const started = `this process was started by ${launch.launcher} as rank ${launch.rank}`;
  const attempt = <T>(action: () => T, hint?: string): T => {
    try {
      return action();
    } catch (thrown) {
      if (!(thrown instanceof BackendError)) throw thrown;
      const message = `Cannot connect ${launch.size} ranks: ${started}; ${thrown.message}`;
      throw new BackendError(message, { hint: thrown.hint ?? hint, cause: thrown });
    }
  };
  attempt(() => findMpi(libraries), `install MPI: ${INSTALL_MPI}`);
  const link = attempt(() => openMpiLink({ libraries, heartbeatMs, silenceMs, openingMs }));
  if (link.size !== launch.size || link.rank !== launch.rank) {
    link.abort(link.rank, `rank ${link.rank} is rank ${launch.rank} of another launcher`);
    const seen = `MPI sees rank ${link.rank} of ${link.size}`;
    throw new ConfigError(
      `Cannot connect the ranks: ${started} of ${launch.size}, and ${seen}`,
      { hint: "the launcher must be that of the MPI library; with Slurm: srun --mpi=pmix" },
    );
  }
  return { link, transport: new MpiTransport(link) };
}
