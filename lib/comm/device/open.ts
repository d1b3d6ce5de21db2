/**
 * Connects the GPUs of a communicator's ranks: NCCL's id travels over the communicator itself.
 *
 * @module
 */

import type { Backend } from "../../backend/backend.ts";
import { UNIQUE_ID_BYTES } from "../../backend/device_link.ts";
import { BackendError, CommunicationError } from "../../base/errors.ts";
import type { Communicator } from "../communicator.ts";
import { DEFAULT_TIME_LIMIT_MS } from "../engine.ts";
import { gatherJson } from "../json.ts";
import { DeviceRanks, type LinkedBackend } from "./ranks.ts";

/** How GPUs are connected. */
export interface DeviceOptions {
  /** Name or path of NCCL; "off" leaves all to the memory of the processor. */
  readonly library?: string | undefined;
  /** The ranks of which each must have a GPU of its own, this communicator's among them. @default {it} */
  readonly among?: Communicator | undefined;
  /** The longest wait for other ranks, in milliseconds; ten minutes without. */
  readonly timeLimitMs?: number | undefined;
}

/** What a rank tells of its GPU. */
interface Told {
  readonly identity: string;
  /** Whether NCCL is left out. */
  readonly off: boolean;
  readonly version: string | undefined;
  readonly reason: string | undefined;
  readonly hint: string | undefined;
}

function toldOf({ link }: Pick<Backend, "link">, library: string | undefined): Told {
  const off = library === "off";
  const told = { identity: link!.identity, off, version: undefined, reason: undefined };
  if (off) return { ...told, hint: undefined };
  try {
    return { ...told, version: link!.load(library), hint: undefined };
  } catch (thrown) {
    if (!(thrown instanceof BackendError)) throw thrown;
    return { ...told, reason: thrown.message, hint: thrown.hint };
  }
}

/** Whether a backend has a GPU that can reach others. */
export function isLinked(backend: Backend): backend is Backend & LinkedBackend {
  return backend.link !== undefined;
}

/** How many of the ranks have the same GPU as this one, itself among them; all ranks call it. */
export function ranksOnGpu(ranks: Communicator, { link }: Pick<Backend, "link">): number {
  if (link === undefined || ranks.size === 1) return 1;
  return gatherJson(ranks, link.identity).filter((identity) => identity === link.identity).length;
}

/** Whether the GPUs of all ranks are to be connected, if they can be; all of them call it. */
export function gpusAreWanted(
  ranks: Communicator,
  { backend: { link }, library }: {
    readonly backend: Pick<Backend, "link">;
    readonly library?: string | undefined;
  },
): boolean {
  if (link === undefined || ranks.size === 1) return false;
  const own: Pick<Told, "identity" | "off"> = { identity: link.identity, off: library === "off" };
  return isWanted(gatherJson(ranks, own) as (typeof own)[]);
}

/** Whether ranks use NCCL: where each has a GPU of its own, and nobody leaves it out. */
function isWanted(all: readonly Pick<Told, "identity" | "off">[]): boolean {
  if (all.some(({ off }) => off)) return false;
  // Virtual ranks share a GPU, which NCCL refuses; their sums travel over the processor's memory.
  return new Set(all.map(({ identity }) => identity)).size === all.length;
}

/**
 * Whether the GPUs of ranks are to be connected; all of them call this, and each loads NCCL.
 *
 * @throws {BackendError} Where a rank has no NCCL that will do: names it and says what to install.
 */
export function canConnect(
  among: Communicator,
  { backend, library }: {
    readonly backend: Backend & LinkedBackend;
    readonly library?: string | undefined;
  },
): boolean {
  const all = gatherJson(among, toldOf(backend, library)) as Told[];
  if (!isWanted(all)) return false;
  const without = all.findIndex(({ reason }) => reason !== undefined);
  if (without >= 0) {
    const { reason, hint } = all[without]!;
    throw new BackendError(`Cannot connect ${all.length} GPUs: rank ${without}: ${reason}`, {
      hint,
    });
  }
  const versions = new Set(all.map(({ version }) => version));
  if (versions.size > 1) {
    const list = all.map(({ version }, rank) => `${version} on rank ${rank}`).join(", ");
    throw new BackendError(
      `Cannot connect ${all.length} GPUs: they have several versions of NCCL: ${list}`,
    );
  }
  return true;
}

/** Lets waiting for other GPUs see what the ranks say to each other, and end after the time limit. */
export function watchOver(
  ranks: Communicator,
  { link }: LinkedBackend,
  { timeLimitMs = DEFAULT_TIME_LIMIT_MS }: Pick<DeviceOptions, "timeLimitMs">,
): void {
  const { rank } = ranks;
  link.watch((waitedMs) => {
    ranks.progress();
    if (waitedMs < timeLimitMs) return;
    const late = `other GPUs have not come for ${timeLimitMs / 1000} s`;
    throw new CommunicationError(`Rank ${rank} cannot go on in "${ranks.name}": ${late}`, { rank });
  });
}

/**
 * Connects the GPUs of a communicator's ranks, all of which call this.
 *
 * @returns Nothing where there are none, where ranks share one, or where NCCL is left out.
 * @throws {BackendError} Where a rank has no NCCL that will do: names it and says what to install.
 * @throws {CommunicationError} Where a rank fails meanwhile.
 */
export function openDeviceRanks(
  ranks: Communicator,
  backend: Backend,
  options: DeviceOptions = {},
): DeviceRanks | undefined {
  const { rank, size, name } = ranks;
  if (!isLinked(backend)) return undefined;
  const { among = ranks, library } = options;
  // Others of `among` may have more ranks here: all of them look.
  if (among.size === 1 || !canConnect(among, { backend, library }) || size === 1) return undefined;
  watchOver(ranks, backend, options);
  const id = new Uint8Array(UNIQUE_ID_BYTES);
  if (rank === 0) id.set(backend.link.uniqueId());
  ranks.broadcast(id, 0);
  const channel = backend.link.open(id, { rank, size });
  return new DeviceRanks(backend, { channel, rank, size, name });
}
