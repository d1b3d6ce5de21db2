/**
 * The collectives of ranks with a GPU each, on the memory of their GPUs, over NCCL.
 *
 * NCCL carries bytes; exchanges and sums are those of `collectives.ts`: every rank sends each other rank
 * the part that this one sums, and sums its own in the order of `tree_sum.ts`. So a sum has the same
 * bits as over any other transport, whatever way NCCL chooses, and bytes on the way are the same too.
 *
 * Nothing here waits: work is enqueued beside that of kernels, and kernels that need its result are told
 * to begin after it. All ranks enqueue the same in the same order.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type {
  DeviceChannel,
  DeviceLink,
  DeviceMessage,
  QueueEnd,
} from "../../backend/device_link.ts";
import type { CallKind } from "../call.ts";
import { evenParts, partsOf } from "../parts.ts";
import { Traffic, type TrafficCount } from "../traffic.ts";
import { Tree } from "../tree_sum.ts";

/** Bytes of an element: vectors are f32. */
const ELEMENT = 4;

/** How long closing waits for what is on its way. */
const CLOSE_MS = 5000;

/** Work that was enqueued. */
export interface DeviceHandle {
  /** Whether it has ended. */
  done(): boolean;
  /** Lets kernels that are enqueued from now on begin after it. */
  join(): void;
  /** Waits for it. @throws {CommunicationError} Where the work of all ranks has ended. */
  wait(): void;
}

/** Elements of a vector [elements] in f32, by the ranks that sum or have them. */
export interface DeviceParts {
  /** Where the vector is. */
  readonly data: Address;
  /** Elements of each rank's part, one after the other. */
  readonly lengths: readonly number[];
}

/** Neighbouring elements in f32. */
export interface DevicePlace {
  /** The first. */
  readonly data: Address;
  /** How many. */
  readonly elements: number;
}

/** A backend with a link. */
export type LinkedBackend = Pick<Backend, "alloc" | "free" | "copy" | "kernels"> & {
  readonly link: DeviceLink;
};

/** What ranks are put together from. */
export interface DeviceRanksOptions {
  /** An open channel. */
  readonly channel: DeviceChannel;
  /** This rank. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** What messages call them. */
  readonly name: string;
  /** The queue of their work. @default {0} */
  readonly queue?: number | undefined;
  /** Their numbers in the channel, ascending. @default {all of it} */
  readonly members?: readonly number[] | undefined;
}

/**
 * Bytes in which the parts of others arrive until they are added: of all ranks but one, as large as this
 * rank's part.
 */
export function roomBytes(partElements: number, size: number): number {
  return ELEMENT * partElements * (size - 1);
}

/** Ranks of a communicator that have a GPU each. */
export class DeviceRanks {
  /** What messages call the communicator. */
  readonly name: string;
  /** This rank within the communicator. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  readonly #backend: LinkedBackend;
  readonly #options: DeviceRanksOptions;
  /** The end of the last work. */
  #last: QueueEnd | undefined;
  /** Where the others' parts arrive. */
  #room: { readonly address: Address; readonly bytes: number } | undefined;
  readonly #traffic: Traffic = new Traffic();

  /** Takes an open channel. */
  constructor(backend: LinkedBackend, options: DeviceRanksOptions) {
    this.#backend = backend;
    this.#options = options;
    this.name = options.name;
    this.rank = options.rank;
    this.size = options.size;
  }

  /**
   * Some of these ranks by themselves, this one among them, over the same channel and queue: closed
   * before these are.
   */
  among(members: readonly number[], { name }: { readonly name: string }): DeviceRanks {
    const { members: all, channel, queue } = this.#options;
    return new DeviceRanks(this.#backend, {
      ...{ channel, queue, name, rank: members.indexOf(this.rank), size: members.length },
      members: members.map((member) => all?.[member] ?? member),
    });
  }

  /** What was sent, as messages; kernels wait for it on the GPU, which is not measured. */
  traffic(): Partial<Record<CallKind, TrafficCount>> {
    return this.#traffic.counts();
  }

  /**
   * Enqueues all that the function does, copies and kernels too, as one piece of work: it begins after
   * the kernels that were enqueued before.
   */
  enqueue(work: () => void): DeviceHandle {
    const { link } = this.#backend;
    const end = this.#last = link.enqueue(work, this.#options.queue);
    return {
      done: () => link.reached(end),
      join: () => link.join(end),
      wait: () => link.wait(end),
    };
  }

  /** The others, each starting at its right neighbour. */
  *#others(): Generator<number> {
    for (let step = 1; step < this.size; step++) yield (this.rank + step) % this.size;
  }

  #exchange(messages: readonly DeviceMessage[]): void {
    const { channel, members } = this.#options;
    const some = messages.filter(({ bytes }) => bytes > 0);
    for (const { way, bytes } of some) {
      if (way === "send") this.#traffic.add("send", { messages: 1, bytes });
    }
    if (some.length === 0) return;
    channel.exchange(
      members === undefined
        ? some
        : some.map((message) => ({ ...message, peer: members[message.peer]! })),
    );
  }

  /** Memory for what arrives: grown before the work that needs it, never while some is on its way. */
  #roomFor(bytes: number): Address {
    if (this.#room === undefined || this.#room.bytes < bytes) {
      if (this.#room !== undefined) {
        if (this.#last !== undefined) this.#backend.link.wait(this.#last);
        this.#backend.free(this.#room.address);
        this.#room = undefined;
      }
      this.#room = { address: this.#backend.alloc(bytes), bytes };
    }
    return this.#room.address;
  }

  /** Takes the memory for what arrives, so that no later work has to grow it. */
  reserve(bytes: number): void {
    if (bytes > 0) this.#roomFor(bytes);
  }

  /**
   * Sends every rank a part, and leaves in `into` the sum of those that all have sent to this one; its own
   * part may be overwritten.
   *
   * @param parts By rank; the own one is as long as those that arrive.
   */
  sumParts(parts: readonly DevicePlace[], { into }: { readonly into: Address }): DeviceHandle {
    const { data: own, elements } = parts[this.rank]!;
    const bytes = ELEMENT * elements;
    const room = bytes === 0 ? 0 : this.#roomFor(roomBytes(elements, this.size));
    return this.enqueue(() => {
      const arriving = new Map([...this.#others()].map((peer, i) => [peer, room + i * bytes]));
      this.#exchange([...arriving].flatMap(([peer, address]) => {
        const theirs = parts[peer]!;
        return [
          { way: "send", peer, address: theirs.data, bytes: ELEMENT * theirs.elements },
          { way: "receive", peer, address, bytes },
        ] as const;
      }));
      if (bytes === 0) return;
      const { kernels } = this.#backend;
      const tree = new Tree<Address>((out, x) => kernels.add({ out, x, count: elements }));
      for (let rank = 0; rank < this.size; rank++) tree.add(arriving.get(rank) ?? own);
      const sum = tree.finish();
      if (sum !== into) this.#backend.copy(into, sum, bytes);
    });
  }

  /** Sums this rank's part of everybody's vector in place; the rest stays as it is. */
  reduceScatter(vector: DeviceParts): DeviceHandle {
    const parts = this.#placesOf(vector);
    return this.sumParts(parts, { into: parts[this.rank]!.data });
  }

  /** Sends bytes to every rank, and receives everybody's: of others to each place, by rank. */
  gatherBytes(
    own: { readonly data: Address; readonly bytes: number },
    places: readonly { readonly data: Address; readonly bytes: number }[],
  ): DeviceHandle {
    return this.enqueue(() =>
      this.#exchange([...this.#others()].flatMap((peer) => {
        const { data, bytes } = places[peer]!;
        return [
          { way: "send", peer, address: own.data, bytes: own.bytes },
          { way: "receive", peer, address: data, bytes },
        ] as const;
      }))
    );
  }

  /** Fills the others' parts of a vector whose own part this rank has. */
  allGather(vector: DeviceParts): DeviceHandle {
    const places = this.#placesOf(vector).map(({ data, elements }) => (
      { data, bytes: ELEMENT * elements }
    ));
    return this.gatherBytes(places[this.rank]!, places);
  }

  /** Sums everybody's vector [elements] in place: the same bits on every rank. */
  allReduce(data: Address, elements: number): DeviceHandle {
    const lengths = evenParts(elements, this.size).map(({ start, end }) => end - start);
    // Before anything is enqueued: room may have to be freed.
    this.reserve(roomBytes(lengths[this.rank]!, this.size));
    return this.enqueue(() => {
      this.reduceScatter({ data, lengths });
      this.allGather({ data, lengths });
    });
  }

  /** The same of a short vector, in one exchange of all of it, which is what takes the time. */
  allReduceShort(data: Address, elements: number): DeviceHandle {
    return this.sumParts(Array.from({ length: this.size }, () => ({ data, elements })), {
      into: data,
    });
  }

  /** Sends and receives messages that depend on each other's progress. */
  exchange(messages: readonly DeviceMessage[]): DeviceHandle {
    return this.enqueue(() => this.#exchange(messages));
  }

  /** Copies the root's bytes to everybody. */
  broadcast(
    data: Address,
    { bytes, root }: { readonly bytes: number; readonly root: number },
  ): DeviceHandle {
    const message = (way: "send" | "receive", peer: number) => ({
      way,
      peer,
      address: data,
      bytes,
    });
    const messages = this.rank === root
      ? [...this.#others()].map((peer) => message("send", peer))
      : [message("receive", root)];
    return this.enqueue(() => this.#exchange(messages));
  }

  /** Sends bytes to a rank, which receives as many. */
  send(
    data: Address,
    { bytes, to }: { readonly bytes: number; readonly to: number },
  ): DeviceHandle {
    return this.enqueue(() => this.#exchange([{ way: "send", peer: to, address: data, bytes }]));
  }

  /** Receives bytes that a rank sends. */
  recv(
    data: Address,
    { bytes, from }: { readonly bytes: number; readonly from: number },
  ): DeviceHandle {
    return this.enqueue(() =>
      this.#exchange([{ way: "receive", peer: from, address: data, bytes }])
    );
  }

  #placesOf({ data, lengths }: DeviceParts): DevicePlace[] {
    if (lengths.length !== this.size) {
      throw new RangeError(`${lengths.length} parts for ${this.size} ranks`);
    }
    return partsOf(lengths, lengths.reduce((sum, length) => sum + length, 0))
      .map(({ start, end }) => ({ data: data + ELEMENT * start, elements: end - start }));
  }

  /**
   * Gives the memory back. What is on its way may end before, but not for long: where this rank has failed
   * the others wait for it.
   */
  close(): void {
    try {
      if (this.#last !== undefined) this.#backend.link.wait(this.#last, CLOSE_MS);
    } catch {
      // Whoever needed it was told why; what is left to do is to give back.
    }
    if (this.#options.members === undefined) this.#options.channel.close();
    if (this.#room !== undefined) this.#backend.free(this.#room.address);
    this.#room = undefined;
  }
}
