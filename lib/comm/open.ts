/**
 * Opens the communicator of all ranks that this process was started with: one of several that a
 * launcher has started, or alone.
 *
 * A transport takes its seat here by a line in `SEATS`; it implements `Transport` and gets every
 * collective, mesh and failure message from the rest of this room.
 *
 * @module
 */

import { BackendError, CommunicationError, UsageError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { Communicator } from "./communicator.ts";
import { DEFAULT_TIME_LIMIT_MS, Engine } from "./engine.ts";
import { alone, worldOf } from "./group.ts";
import { type Environment, launchFrom } from "./mpi/launch.ts";
import { type MpiOptions, openMpi } from "./mpi/open.ts";
import { openProcesses } from "./processes/open.ts";
import { SEAT_VARIABLE, seatFrom } from "./processes/seat.ts";
import type { Transport } from "./transport.ts";

/**
 * What can carry messages between ranks: memory of one process, MPI, or memory of one machine beside the
 * GPUs of its processes, which NCCL connects.
 */
export type TransportName = "local" | "mpi" | "nccl";

/** How a world is opened. */
export interface WorldOptions extends MpiOptions {
  /** What carries the messages; without, "mpi" where a launcher has started this process. */
  readonly transport?: string | undefined;
  /** The CUDA library instead of the usual one. */
  readonly cudaLibrary?: string | undefined;
  /** The environment of the process, in which launchers say which rank it is. */
  readonly environment?: Environment | undefined;
  /** The longest wait for one call, in milliseconds; ten minutes without. */
  readonly timeLimitMs?: number | undefined;
}

/** All ranks, opened; to be closed, or ended with an error, by whoever opened it. */
export interface World {
  /** The communicator of all ranks. */
  readonly communicator: Communicator;
  /** What carries its messages. */
  readonly transport: TransportName;
  /** How many ranks share this machine, so that they share its processors too. */
  readonly localRanks: number;
  /** Which of them this is, where that is known: it takes the GPU with this number. */
  readonly localRank: number;
  /**
   * Ends this rank's part: sends what is left and waits until all others end theirs.
   *
   * @throws {CommunicationError} Where one of them fails before that.
   */
  close(): void;
  /** Ends the work of all ranks, who are told that this one has failed, and why. */
  fail(error: Error): void;
}

interface Seat {
  readonly name: TransportName;
  readonly opens: (options: WorldOptions) => World;
}

const SEATS: readonly Seat[] = [
  // Several local ranks are workers that `runLocal` starts; a process that nobody started so is one.
  { name: "local", opens: worldAlone },
  { name: "mpi", opens: worldOverMpi },
  { name: "nccl", opens: worldOfProcesses },
];

/** Names of all transports. */
export const TRANSPORT_NAMES: readonly TransportName[] = SEATS.map(({ name }) => name);

/** The communicator of all ranks that a transport connects. */
export function worldOver(
  transport: Transport,
  options: Pick<WorldOptions, "timeLimitMs"> = {},
): Communicator {
  return worldOf(new Engine(transport, options));
}

function worldAlone(): World {
  const [communicator, nothing] = [alone(), () => {}];
  return {
    communicator,
    transport: "local",
    localRanks: 1,
    localRank: 0,
    close: nothing,
    fail: nothing,
  };
}

function worldOfProcesses(options: WorldOptions): World {
  const seat = seatFrom(options.environment ?? (() => undefined));
  if (seat === undefined) {
    const reason = `${SEAT_VARIABLE} is not set: nobody has started this process for a GPU`;
    throw new BackendError(`Cannot open the transport "nccl": ${reason}`, {
      tried: [{ name: "nccl", reason }],
      hint: "llamero train --gpus 2 …",
    });
  }
  const { timeLimitMs = DEFAULT_TIME_LIMIT_MS, cudaLibrary: library } = options;
  const { rank, size } = seat;
  const { communicator, close, fail } = openProcesses(seat, { library, timeLimitMs });
  let open = true;
  const once = (action: () => void) => {
    if (open) action();
    open = false;
  };
  return {
    ...{ communicator, transport: "nccl", localRanks: size, localRank: rank },
    close: () => once(close),
    fail: (error) => once(() => fail(`rank ${rank} failed: ${error.message}`)),
  };
}

function worldOverMpi(options: WorldOptions): World {
  const launch = launchFrom(options.environment ?? (() => undefined));
  if (launch === undefined) {
    throw new BackendError(
      `Cannot open the transport "mpi": no launcher has started this process`,
      {
        tried: [{ name: "mpi", reason: "no launcher has started this process" }],
        hint: "mpirun -n 2 llamero …, or srun --mpi=pmix",
      },
    );
  }
  if (launch.size === 1) return worldAlone();
  const { timeLimitMs = DEFAULT_TIME_LIMIT_MS } = options;
  const { link, transport } = openMpi(launch, options);
  const engine = new Engine(transport, { timeLimitMs });
  let open = true;
  return {
    communicator: worldOf(engine),
    transport: "mpi",
    localRanks: launch.localSize ?? 1,
    localRank: launch.localRank ?? launch.rank,
    close() {
      if (!open) return;
      open = false;
      engine.flush();
      if (link.close(timeLimitMs)) return;
      const { rank, reason } = link.verdict() ?? {};
      const late = `other ranks have not ended for ${timeLimitMs / 1000} s`;
      throw new CommunicationError(reason ?? `Rank ${link.rank} cannot end: ${late}`, { rank });
    },
    fail(error) {
      if (!open) return;
      open = false;
      // Who ends because of another has nothing to tell.
      if (link.verdict() === undefined) {
        link.abort(link.rank, `rank ${link.rank} failed: ${error.message}`);
      }
    },
  };
}

/**
 * Opens the world that this process is a rank of.
 *
 * @throws {BackendError} For a transport that nobody has prepared, or that does not start.
 * @throws {ConfigError} For an environment that says half of which rank this is.
 * @throws {UsageError} For a name that is no transport's.
 */
export function openWorld(options: WorldOptions = {}): World {
  const { transport, environment } = options;
  if (transport === undefined) {
    if (environment === undefined) return worldAlone();
    if (seatFrom(environment) !== undefined) return worldOfProcesses(options);
    return launchFrom(environment) === undefined ? worldAlone() : worldOverMpi(options);
  }
  const seat = SEATS.find(({ name }) => name === transport);
  if (seat === undefined) {
    const known = TRANSPORT_NAMES.join(", ");
    throw new UsageError(`Cannot open the transport ${quoted(transport)}: ${known} are known`);
  }
  return seat.opens(options);
}
