/**
 * Drives the calls of one rank: those that were started wait here for their messages, and every wait
 * moves all of them on, so that ranks may wait for them in any order.
 *
 * @module
 */

import { CommunicationError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { CALL_KINDS, type CallKind, type Expected, type Ranks, type Steps } from "./call.ts";
import type { Handle } from "./communicator.ts";
import { Inbox, SEND_KIND } from "./inbox.ts";
import type { Traffic } from "./traffic.ts";
import type { Envelope, Transport } from "./transport.ts";

/**
 * The longest wait for one call. As long as PyTorch's for NCCL: other ranks may be saving a
 * checkpoint or computing a first batch; ranks that have ended are noticed at once.
 */
export const DEFAULT_TIME_LIMIT_MS = 600_000;

/** Between two looks at whether the others still live. */
const NAP_MS = 500;

/** What a call is started with. */
export interface CallOptions<T> {
  /** Which kind of call. */
  readonly kind: CallKind;
  /** Name of its communicator. */
  readonly name: string;
  /** Number of its communicator. */
  readonly channel: number;
  /** Which call of its communicator, or the caller's tag. */
  readonly sequence: number;
  /** Bytes of the whole vector. */
  readonly total: number;
  /** This rank within the communicator. */
  readonly rank: number;
  /** Ranks of the transport that are the communicator's ranks. */
  readonly members: readonly number[];
  /** Where it is counted. */
  readonly traffic: Traffic;
  /** What it does. */
  readonly steps: (ranks: Ranks) => Steps<T>;
}

class Call<T> {
  readonly options: CallOptions<T>;
  readonly steps: Steps<T>;
  expected: Expected | undefined;
  result: T | undefined;

  constructor(options: CallOptions<T>, ranks: Ranks) {
    this.options = options;
    this.steps = options.steps(ranks);
    options.traffic.add(options.kind, { calls: 1 });
    this.#stand(this.steps.next());
  }

  resume(bytes: Uint8Array<ArrayBuffer>): void {
    this.#stand(this.steps.next(bytes));
  }

  #stand({ done, value }: IteratorResult<Expected, T>): void {
    if (done === true) this.result = value;
    this.expected = done === true ? undefined : value;
  }

  get envelope(): Envelope {
    const { channel, kind, sequence, total } = this.options;
    const round = this.expected?.round ?? 0;
    return { channel, kind: CALL_KINDS.indexOf(kind), sequence, round, total };
  }

  /** The rank of the transport that it waits for. */
  get peer(): number {
    return this.options.members[this.expected!.from]!;
  }
}

/** "allReduce 3 of 40 bytes", or "a message with tag 3 of 40 bytes". */
function describe({ kind, sequence, total }: Envelope): string {
  const what = kind === SEND_KIND
    ? `a message with tag ${sequence}`
    : `${CALL_KINDS[kind] ?? "an unknown call"} ${sequence}`;
  return `${what} of ${total} bytes`;
}

/** The calls of one rank over one transport. */
export class Engine {
  /** What carries the messages. */
  readonly transport: Transport;
  /** The number that no communicator of this rank has yet. */
  nextChannel = 1;
  /** Whether a split has been started and not finished. */
  splitting = false;
  readonly #timeLimitMs: number;
  readonly #inbox: Inbox = new Inbox();
  readonly #started: Set<Call<unknown>> = new Set();
  #failure: CommunicationError | undefined;

  /** Nothing is sent before the first call. */
  constructor(transport: Transport, options: { readonly timeLimitMs?: number | undefined } = {}) {
    this.transport = transport;
    this.#timeLimitMs = options.timeLimitMs ?? DEFAULT_TIME_LIMIT_MS;
  }

  /** Starts a call; sends what can be sent at once. @throws {CommunicationError} Where work ended. */
  start<T>(options: CallOptions<T>): Handle<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const { kind, channel, sequence, total, members, traffic } = options;
    const ranks: Ranks = {
      rank: options.rank,
      size: members.length,
      send: (to, round, payload) => {
        const envelope = { channel, kind: CALL_KINDS.indexOf(kind), sequence, round, total };
        traffic.add(kind, { messages: 1, bytes: payload.byteLength });
        this.transport.send(members[to]!, envelope, payload);
      },
    };
    const call = new Call(options, ranks);
    if (call.expected !== undefined) this.#started.add(call as Call<unknown>);
    return {
      done: () => {
        this.progress();
        return call.expected === undefined;
      },
      wait: () => this.#wait(call),
    };
  }

  /** Moves all started calls on. @throws {CommunicationError} Where the work has ended. */
  progress(): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.transport.poll((from, message) => this.#inbox.put(from, message));
    } catch (thrown) {
      if (thrown instanceof CommunicationError) this.#failure = thrown;
      throw thrown;
    }
    for (const call of this.#started) this.#advance(call);
  }

  /** Waits until all that was sent has left. @throws {CommunicationError} Where it cannot. */
  flush(): void {
    const deadline = performance.now() + this.#timeLimitMs;
    for (this.progress(); !this.transport.flushed; this.progress()) {
      if (performance.now() > deadline) {
        const waited = `its messages were not received for ${this.#timeLimitMs / 1000} s`;
        this.#fail(`Rank ${this.transport.rank} cannot end: ${waited}`, this.transport.rank);
      }
      this.transport.sleep(NAP_MS);
    }
  }

  /** The oldest collective of a communicator that is still running. */
  #oldest(channel: number): number {
    let oldest = Infinity;
    for (const { options } of this.#started) {
      if (options.channel !== channel || options.kind === "send") continue;
      oldest = Math.min(oldest, options.sequence);
    }
    return oldest;
  }

  #advance(call: Call<unknown>): void {
    while (call.expected !== undefined) {
      const { channel } = call.options;
      const wanted = { ...call.envelope, oldest: this.#oldest(channel) };
      const { message, foreign } = this.#inbox.take(call.peer, wanted);
      if (foreign !== undefined) this.#mismatch(call, foreign);
      if (message === undefined) return;
      if (message.bytes.byteLength !== call.expected.bytes) {
        // Single messages carry no other size; parts of a vector can differ where the whole does not.
        const length = message.bytes.byteLength;
        const of = call.options.kind === "send" ? "" : ` with a part of ${length} bytes`;
        this.#mismatch(call, message.envelope, of);
      }
      call.resume(message.bytes);
    }
    this.#started.delete(call);
  }

  #wait<T>(call: Call<T>): T {
    const { kind, traffic } = call.options;
    const began = performance.now();
    try {
      while (call.expected !== undefined) {
        this.progress();
        if (call.expected === undefined) break;
        this.#checkPeer(call as Call<unknown>, performance.now() - began);
        if (call.expected === undefined) break;
        const left = began + this.#timeLimitMs - performance.now();
        this.transport.sleep(Math.max(1, Math.min(NAP_MS, left)));
      }
    } finally {
      traffic.add(kind, { waitedMs: performance.now() - began });
    }
    return call.result as T;
  }

  #checkPeer(call: Call<unknown>, waitedMs: number): void {
    const { peer } = call;
    if (this.transport.ended(peer)) {
      // What it sent before it ended may have arrived since the last look.
      this.progress();
      if (call.expected === undefined || call.peer !== peer) return;
      this.#fail(`${this.#cannotFinish(call)}: rank ${peer} has ended without it`, peer);
    }
    if (waitedMs < this.#timeLimitMs) return;
    const limit = this.#timeLimitMs / 1000;
    this.#fail(`${this.#cannotFinish(call)}: rank ${peer} has not sent for ${limit} s`, peer);
  }

  #cannotFinish({ envelope, options }: Call<unknown>): string {
    const where = `in ${quoted(options.name)}`;
    return `Rank ${this.transport.rank} cannot finish ${describe(envelope)} ${where}`;
  }

  #mismatch(call: Call<unknown>, foreign: Envelope, detail = ""): never {
    const { peer } = call;
    const called = foreign.kind === SEND_KIND ? "sent" : "called";
    const reason = `rank ${peer} ${called} ${describe(foreign)}${detail}`;
    return this.#fail(`${this.#cannotFinish(call)}: ${reason}`, peer);
  }

  #fail(reason: string, rank: number): never {
    this.#failure = new CommunicationError(reason, { rank });
    this.transport.abort(reason, rank);
    throw this.#failure;
  }
}
