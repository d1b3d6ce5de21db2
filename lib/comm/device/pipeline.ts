/**
 * Messages between neighbouring ranks of a pipeline that have a GPU each, over NCCL.
 *
 * A send ends when its receiver has come for it, and work of one channel and one queue goes in order: so
 * each way of each border has a channel of its own, and what a rank sends and receives either way has a
 * queue of its own. Nobody then waits behind a message that itself waits for this rank.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import { UNIQUE_ID_BYTES } from "../../backend/device_link.ts";
import type { Communicator } from "../communicator.ts";
import { canConnect, type DeviceOptions, isLinked, watchOver } from "./open.ts";
import { type DeviceHandle, DeviceRanks, type LinkedBackend } from "./ranks.ts";

/** Which way a message goes: with the layers, or against them. */
export type PipelineWay = "forward" | "backward";

/** Queues between ranks; 0 is that of collectives. */
const QUEUES = {
  send: { forward: 1, backward: 2 },
  receive: { forward: 3, backward: 4 },
} as const;

/** How a pipeline is connected. */
export interface DevicePipelineOptions extends DeviceOptions {
  /** Whether the last rank sends to the first too, as where stages are interleaved. @default {false} */
  readonly wraps?: boolean | undefined;
  /** Whether the first rank and the last add something up: a tied embedding. @default {false} */
  readonly endsMeet?: boolean | undefined;
}

type Channels = Readonly<
  Record<keyof typeof QUEUES, Partial<Record<PipelineWay, DeviceRanks>>>
>;

/** The GPUs of a pipeline's ranks. */
export class DevicePipeline {
  /** The first rank and the last, on those two, where they add something up. */
  readonly ends: DeviceRanks | undefined;
  /** What counts what this rank sends. */
  readonly counted: readonly DeviceRanks[];
  readonly #channels: Channels;

  /** Takes open channels. */
  constructor(channels: Channels, ends: DeviceRanks | undefined) {
    this.#channels = channels;
    this.ends = ends;
    this.counted = [...Object.values(channels).flatMap((ways) => Object.values(ways)), ends]
      .filter((ranks) => ranks !== undefined);
  }

  /** Sends bytes to the next rank of a way; they must stay until that has ended. */
  send(way: PipelineWay, { at, bytes }: { at: Address; bytes: number }): DeviceHandle {
    const ranks = this.#channels.send[way]!;
    return ranks.send(at, { bytes, to: 1 - ranks.rank });
  }

  /** Receives bytes from the rank before on a way. */
  receive(way: PipelineWay, { at, bytes }: { at: Address; bytes: number }): DeviceHandle {
    const ranks = this.#channels.receive[way]!;
    return ranks.recv(at, { bytes, from: 1 - ranks.rank });
  }

  /** Ends all channels. */
  close(): void {
    for (const ranks of this.counted) ranks.close();
  }
}

/** Tags of the bytes by which two ranks find each other. */
const TAGS: Record<PipelineWay | "ends", number> = { forward: 0, backward: 1, ends: 2 };

/** Opens a channel of two ranks, the first of which tells the other how to find it. */
function openPair(
  ranks: Communicator,
  backend: LinkedBackend,
  { first, second, tag, name, queue }: {
    readonly first: number;
    readonly second: number;
    readonly tag: number;
    readonly name: string;
    readonly queue: number;
  },
): DeviceRanks {
  const id = new Uint8Array(UNIQUE_ID_BYTES);
  const rank = ranks.rank === first ? 0 : 1;
  if (rank === 0) {
    id.set(backend.link.uniqueId());
    ranks.send(id, second, { tag });
  } else ranks.recv(id, first, { tag });
  const place = { rank, size: 2 };
  return new DeviceRanks(backend, {
    ...{ ...place, channel: backend.link.open(id, place), name, queue },
  });
}

/**
 * Connects the GPUs of a pipeline's ranks, all of which call this.
 *
 * @returns Nothing where there are none, where ranks share one, or where NCCL is left out.
 * @throws {BackendError} Where a rank has no NCCL that will do: names it and says what to install.
 * @throws {CommunicationError} Where a rank fails meanwhile.
 */
export function openDevicePipeline(
  ranks: Communicator,
  backend: Backend,
  options: DevicePipelineOptions = {},
): DevicePipeline | undefined {
  const { rank, size, name } = ranks;
  if (!isLinked(backend)) return undefined;
  const { among = ranks, library, wraps = false, endsMeet = false } = options;
  if (among.size === 1 || !canConnect(among, { backend, library }) || size === 1) return undefined;
  watchOver(ranks, backend, options);
  const channels = { send: {}, receive: {} } as Record<
    keyof typeof QUEUES,
    Partial<Record<PipelineWay, DeviceRanks>>
  >;
  // Border after border: a rank comes to its second one when the other side is free, or will be.
  for (let before = 0; before < (wraps ? size : size - 1); before++) {
    const after = (before + 1) % size;
    if (rank !== before && rank !== after) continue;
    for (const way of ["forward", "backward"] as const) {
      const [first, second] = way === "forward" ? [before, after] : [after, before];
      const kind = rank === first ? "send" : "receive";
      const queue = QUEUES[kind][way];
      const pair = { first, second, tag: TAGS[way], name, queue };
      channels[kind][way] = openPair(ranks, backend, pair);
    }
  }
  const isEnd = rank === 0 || rank === size - 1;
  const ends = endsMeet && isEnd
    ? openPair(ranks, backend, {
      ...{ first: 0, second: size - 1, tag: TAGS.ends, name: "embedding", queue: 0 },
    })
    : undefined;
  return new DevicePipeline(channels, ends);
}
