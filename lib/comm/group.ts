/**
 * The one implementation of a communicator: calls over an engine, for the ranks of one group.
 *
 * @module
 */

import type { CallKind, Ranks, Steps } from "./call.ts";
import * as collectives from "./collectives.ts";
import type {
  Communicator,
  Handle,
  PartsOptions,
  PeerOptions,
  ReduceOptions,
  SplitOptions,
  TypedArray,
} from "./communicator.ts";
import { type CallOptions, Engine } from "./engine.ts";
import { evenParts, type Part, partsOf } from "./parts.ts";
import { Traffic, type TrafficCount } from "./traffic.ts";
import type { Transport } from "./transport.ts";
import type { Numbers } from "./tree_sum.ts";

const { bytesOf } = collectives;
const LARGEST_TAG = 2 ** 32 - 1;

interface GroupParts {
  readonly engine: Engine;
  readonly name: string;
  readonly channel: number;
  /** Ranks of the transport, by ranks of the group. */
  readonly members: readonly number[];
}

class Group implements Communicator {
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  readonly #parts: GroupParts;
  readonly #traffic: Traffic = new Traffic();
  #sequence = 0;

  constructor(parts: GroupParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.rank = parts.members.indexOf(parts.engine.transport.rank);
    this.size = parts.members.length;
  }

  #start<T>(options: Pick<CallOptions<T>, "kind" | "total" | "steps">, tag?: number): Handle<T> {
    const { engine, name, channel, members } = this.#parts;
    const sequence = tag ?? this.#sequence++;
    const { rank } = this;
    return engine.start<T>({
      ...{ name, channel, sequence, rank, members, traffic: this.#traffic },
      ...options,
    });
  }

  #cut(length: number, { lengths }: PartsOptions = {}): Part[] {
    if (lengths === undefined) return evenParts(length, this.size);
    if (lengths.length === this.size) return partsOf(lengths, length);
    throw new RangeError(`${lengths.length} parts for ${this.size} ranks`);
  }

  #checkRank(rank: number): void {
    if (Number.isInteger(rank) && rank >= 0 && rank < this.size) return;
    throw new RangeError(`rank ${rank} of ${this.size} in "${this.name}"`);
  }

  #reduce<T>(kind: CallKind, reduction: {
    readonly data: Numbers;
    readonly options: (ReduceOptions & PartsOptions) | undefined;
    readonly steps: (ranks: Ranks, reduction: collectives.Reduction) => Steps<T>;
  }): Handle<T> {
    const { data, options = {}, steps } = reduction;
    const { operation = "sum" } = options;
    const parts = this.#cut(data.length, options);
    const total = data.byteLength;
    return this.#start({ kind, total, steps: (ranks) => steps(ranks, { data, parts, operation }) });
  }

  startAllReduce(data: Numbers, options?: ReduceOptions): Handle<void> {
    if (this.size === 1) return finished(undefined);
    return this.#reduce("allReduce", { data, options, steps: collectives.allReduceSteps });
  }

  allReduce(data: Numbers, options?: ReduceOptions): void {
    this.startAllReduce(data, options).wait();
  }

  startReduceScatter(data: Numbers, options?: ReduceOptions & PartsOptions): Handle<Numbers> {
    if (this.size === 1) {
      this.#cut(data.length, options);
      return finished(data);
    }
    return this.#reduce("reduceScatter", { data, options, steps: collectives.reduceScatterSteps });
  }

  reduceScatter(data: Numbers, options?: ReduceOptions & PartsOptions): Numbers {
    return this.startReduceScatter(data, options).wait();
  }

  startAllGather(data: TypedArray, options?: PartsOptions): Handle<void> {
    const parts = this.#cut(data.length, options);
    if (this.size === 1) return finished(undefined);
    const cut = collectives.byteParts(parts, data.BYTES_PER_ELEMENT);
    const gather = { data: bytesOf(data), parts: cut, round: 0 };
    return this.#start({
      kind: "allGather",
      total: data.byteLength,
      steps: (ranks) => collectives.allGatherSteps(ranks, gather),
    });
  }

  allGather(data: TypedArray, options?: PartsOptions): void {
    this.startAllGather(data, options).wait();
  }

  startBroadcast(data: ArrayBufferView, root: number): Handle<void> {
    this.#checkRank(root);
    if (this.size === 1) return finished(undefined);
    return this.#start({
      kind: "broadcast",
      total: data.byteLength,
      steps: (ranks) => collectives.broadcastSteps(ranks, { data: bytesOf(data), root }),
    });
  }

  broadcast(data: ArrayBufferView, root: number): void {
    this.startBroadcast(data, root).wait();
  }

  #checkPeer(rank: number, { tag = 0 }: PeerOptions): number {
    this.#checkRank(rank);
    if (rank === this.rank) throw new RangeError("a rank sends nothing to itself");
    if (Number.isInteger(tag) && tag >= 0 && tag <= LARGEST_TAG) return tag;
    throw new RangeError(`tag ${tag}: whole numbers from 0 to ${LARGEST_TAG}`);
  }

  startSend(data: ArrayBufferView, to: number, options: PeerOptions = {}): Handle<void> {
    const tag = this.#checkPeer(to, options);
    const total = data.byteLength;
    return this.#start({
      kind: "send",
      total,
      // deno-lint-ignore require-yield -- it is a call that waits for nothing
      *steps(ranks) {
        ranks.send(to, 0, bytesOf(data));
      },
    }, tag);
  }

  send(data: ArrayBufferView, to: number, options?: PeerOptions): void {
    this.startSend(data, to, options).wait();
  }

  startRecv(data: ArrayBufferView, from: number, options: PeerOptions = {}): Handle<void> {
    const tag = this.#checkPeer(from, options);
    const total = data.byteLength;
    return this.#start({
      kind: "send",
      total,
      *steps() {
        bytesOf(data).set(yield { from, round: 0, bytes: total });
      },
    }, tag);
  }

  recv(data: ArrayBufferView, from: number, options?: PeerOptions): void {
    this.startRecv(data, from, options).wait();
  }

  startBarrier(): Handle<void> {
    if (this.size === 1) return finished(undefined);
    return this.#start({ kind: "barrier", total: 0, steps: collectives.barrierSteps });
  }

  barrier(): void {
    this.startBarrier().wait();
  }

  startSplit({ color, key = 0, name = "split" }: SplitOptions): Handle<Communicator> {
    if (!Number.isSafeInteger(color)) throw new RangeError(`color ${color}: whole numbers`);
    if (Number.isNaN(key)) throw new RangeError("key NaN: numbers that have an order");
    const { engine, members } = this.#parts;
    // Two at once could choose the same number for communicators of different ranks.
    if (engine.splitting) throw new TypeError("a split is running: wait for it first");
    engine.splitting = true;
    const told = new Float64Array(3 * this.size);
    told.set([color, key, engine.nextChannel], 3 * this.rank);
    const cut = { data: bytesOf(told), parts: evenParts(told.byteLength, this.size), round: 0 };
    return this.#start<Communicator>({
      kind: "split",
      total: told.byteLength,
      *steps(ranks) {
        yield* collectives.allGatherSteps(ranks, cut);
        const all = members.map((member, rank) => {
          const [color, key, channel] = told.subarray(3 * rank);
          return { member, rank, color: color!, key: key!, channel: channel! };
        });
        // A number that is new to all of them; parts of one split may share it, having no rank in common.
        const channel = Math.max(engine.nextChannel, ...all.map(({ channel }) => channel));
        engine.nextChannel = channel + 1;
        engine.splitting = false;
        const same = all.filter((other) => other.color === color)
          .sort((a, b) => a.key - b.key || a.rank - b.rank);
        return new Group({ engine, name, channel, members: same.map(({ member }) => member) });
      },
    });
  }

  split(options: SplitOptions): Communicator {
    return this.startSplit(options).wait();
  }

  progress(): void {
    if (this.#parts.engine.transport.size > 1) this.#parts.engine.progress();
  }

  traffic(): Partial<Record<CallKind, TrafficCount>> {
    return this.#traffic.counts();
  }
}

function finished<T>(result: T): Handle<T> {
  return { done: () => true, wait: () => result };
}

/** The communicator of all ranks of an engine's transport. */
export function worldOf(engine: Engine): Communicator {
  const members = Array.from({ length: engine.transport.size }, (_, rank) => rank);
  return new Group({ engine, name: "world", channel: 0, members });
}

const NOBODY: Transport = {
  name: "alone",
  rank: 0,
  size: 1,
  bytesSent: 0,
  flushed: true,
  send: () => {
    throw new TypeError("one rank sends nothing");
  },
  poll: () => {},
  sleep: () => {},
  ended: () => false,
  abort: () => {},
};

/** The communicator of one rank: every call returns at once and copies nothing. */
export function alone(): Communicator {
  return worldOf(new Engine(NOBODY));
}
