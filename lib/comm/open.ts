/**
 * Opens the communicator of all ranks by the name of what carries its messages.
 *
 * A transport takes its seat here by a line in `SEATS`; it implements `Transport` and gets every
 * collective, mesh and failure message from the rest of this room.
 *
 * @module
 */

import { BackendError, UsageError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { Communicator } from "./communicator.ts";
import { Engine } from "./engine.ts";
import { alone, worldOf } from "./group.ts";
import type { Transport } from "./transport.ts";

/** What can carry messages between ranks. */
export type TransportName = "local" | "mpi" | "nccl";

/** How a world is opened. */
export interface WorldOptions {
  /** What carries the messages; "local" without. */
  readonly transport?: string;
  /** The longest wait for one call, in milliseconds; ten minutes without. */
  readonly timeLimitMs?: number;
}

/** What opens a world, or why nothing does. */
interface Seat {
  readonly name: TransportName;
  readonly opens: ((options: WorldOptions) => Communicator) | string;
}

const SEATS: readonly Seat[] = [
  // Several local ranks are workers that `runLocal` starts; a process that nobody started so is one.
  { name: "local", opens: alone },
  { name: "mpi", opens: "ranks in several processes" },
  { name: "nccl", opens: "ranks on several GPUs" },
];

/** Names of all transports, those too that are not here yet. */
export const TRANSPORT_NAMES: readonly TransportName[] = SEATS.map(({ name }) => name);

/** The communicator of all ranks that a transport connects. */
export function worldOver(
  transport: Transport,
  options: Pick<WorldOptions, "timeLimitMs"> = {},
): Communicator {
  return worldOf(new Engine(transport, options));
}

/**
 * Opens the communicator of all ranks that this process was started with.
 *
 * @throws {BackendError} For a transport that is not here yet.
 * @throws {UsageError} For a name that is none.
 */
export function openWorld(options: WorldOptions = {}): Communicator {
  const { transport = "local" } = options;
  const seat = SEATS.find(({ name }) => name === transport);
  if (seat === undefined) {
    const known = TRANSPORT_NAMES.join(", ");
    throw new UsageError(`Cannot open the transport ${quoted(transport)}: ${known} are known`);
  }
  if (typeof seat.opens !== "string") return seat.opens(options);
  const reason = `not here yet: ${seat.opens}`;
  throw new BackendError(`Cannot open the transport "${seat.name}": ${reason}`, {
    tried: [{ name: seat.name, reason }],
    hint: "ranks of one process need no other transport than local",
  });
}
