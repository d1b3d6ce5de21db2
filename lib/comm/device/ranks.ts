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
import type { DeviceChannel, DeviceLink, DeviceMessage } from "../../backend/device_link.ts";
import type { CallKind } from "../call.ts";
import { evenParts, type Part, partsOf } from "../parts.ts";
import { Traffic, type TrafficCount } from "../traffic.ts";
import { Tree } from "../tree_sum.ts";

/** Bytes of an element: vectors are f32. */
const ELEMENT = 4;

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

/** A backend with a link. */
export type LinkedBackend = Pick<Backend, "alloc" | "free" | "copy" | "kernels"> & {
  readonly link: DeviceLink;
};

/** Ranks of a communicator that have a GPU each. */
export class DeviceRanks {
  /** What messages call the communicator. */
  readonly name: string;
  /** This rank within the communicator. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  readonly #backend: LinkedBackend;
  readonly #channel: DeviceChannel;
  /** The last work's number. */
  #last = 0;
  /** Where the others' parts arrive. */
  #room: { readonly address: Address; readonly bytes: number } | undefined;
  readonly #traffic: Traffic = new Traffic();

  /** Takes an open channel. */
  constructor(
    backend: LinkedBackend,
    options: {
      readonly channel: DeviceChannel;
      readonly rank: number;
      readonly size: number;
      readonly name: string;
    },
  ) {
    this.#backend = backend;
    this.name = options.name;
    this.#channel = options.channel;
    this.rank = options.rank;
    this.size = options.size;
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
    const end = this.#last = link.enqueue(work);
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
    const some = messages.filter(({ bytes }) => bytes > 0);
    for (const { way, bytes } of some) {
      if (way === "send") this.#traffic.add("send", { messages: 1, bytes });
    }
    if (some.length > 0) this.#channel.exchange(some);
  }

  /** Memory for what arrives: grown before the work that needs it, never while some is on its way. */
  #roomFor(bytes: number): Address {
    if (this.#room === undefined || this.#room.bytes < bytes) {
      if (this.#room !== undefined) {
        this.#backend.link.wait(this.#last);
        this.#backend.free(this.#room.address);
        this.#room = undefined;
      }
      this.#room = { address: this.#backend.alloc(bytes), bytes };
    }
    return this.#room.address;
  }

  /** Sums this rank's part of everybody's vector in place; the rest stays as it is. */
  reduceScatter({ data, lengths }: DeviceParts): DeviceHandle {
    const parts = this.#partsOf(lengths);
    const own = parts[this.rank]!;
    const bytes = ELEMENT * (own.end - own.start);
    const room = bytes === 0 ? 0 : this.#roomFor(bytes * (this.size - 1));
    const at = (part: Part) => data + ELEMENT * part.start;
    return this.enqueue(() => {
      const arriving = new Map([...this.#others()].map((peer, i) => [peer, room + i * bytes]));
      this.#exchange([...arriving].flatMap(([peer, address]) => {
        const theirs = parts[peer]!;
        return [
          {
            way: "send",
            peer,
            address: at(theirs),
            bytes: ELEMENT * (theirs.end - theirs.start),
          },
          { way: "receive", peer, address, bytes },
        ] as const;
      }));
      if (bytes === 0) return;
      const { kernels } = this.#backend;
      const tree = new Tree<Address>((out, x) => kernels.add({ out, x, count: bytes / ELEMENT }));
      for (let rank = 0; rank < this.size; rank++) tree.add(arriving.get(rank) ?? at(own));
      const sum = tree.finish();
      if (sum !== at(own)) this.#backend.copy(at(own), sum, bytes);
    });
  }

  /** Fills the others' parts of a vector whose own part this rank has. */
  allGather({ data, lengths }: DeviceParts): DeviceHandle {
    const parts = this.#partsOf(lengths);
    const message = (way: "send" | "receive", peer: number, { start, end }: Part) => (
      { way, peer, address: data + ELEMENT * start, bytes: ELEMENT * (end - start) }
    );
    return this.enqueue(() =>
      this.#exchange([...this.#others()].flatMap((peer) => [
        message("send", peer, parts[this.rank]!),
        message("receive", peer, parts[peer]!),
      ]))
    );
  }

  /** Sums everybody's vector [elements] in place: the same bits on every rank. */
  allReduce(data: Address, elements: number): DeviceHandle {
    const lengths = evenParts(elements, this.size).map(({ start, end }) => end - start);
    // Before anything is enqueued: room may have to be freed.
    this.#roomFor(ELEMENT * Math.max(1, lengths[this.rank]!) * Math.max(1, this.size - 1));
    return this.enqueue(() => {
      this.reduceScatter({ data, lengths });
      this.allGather({ data, lengths });
    });
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

  #partsOf(lengths: readonly number[]): Part[] {
    if (lengths.length !== this.size) {
      throw new RangeError(`${lengths.length} parts for ${this.size} ranks`);
    }
    return partsOf(lengths, lengths.reduce((sum, length) => sum + length, 0));
  }

  /** Waits for what is on its way and gives the memory back; where ranks are lost, all is closed. */
  close(): void {
    try {
      if (this.#last > 0) this.#backend.link.wait(this.#last);
    } catch {
      // Whoever needed it was told why; what is left to do is to give back.
    }
    this.#channel.close();
    if (this.#room !== undefined) this.#backend.free(this.#room.address);
    this.#room = undefined;
  }
}
