/**
 * What parallel code is written against: a group of ranks that send, receive and reduce together.
 *
 * Every rank of a communicator makes the same calls in the same order. A call of another kind or
 * size on one of them ends all with a message that names it. Calls block the thread, as kernels do;
 * `start…` returns a handle instead, so that computation comes between the start and the wait. A
 * vector is not to be touched between the two.
 *
 * @module
 */

import type { TrafficCount } from "./traffic.ts";
import type { CallKind } from "./call.ts";
import type { Numbers, ReduceOperation } from "./tree_sum.ts";

/** A call that was started. */
export interface Handle<T> {
  /** Whether it has finished; moves all started calls on, as far as they can go without waiting. */
  done(): boolean;
  /**
   * Waits for it and returns its result; waiting again returns the same.
   *
   * @throws {CommunicationError} Where a rank failed, ended, kept silent for the time limit, or
   *   called something else.
   */
  wait(): T;
}

/** How a vector is reduced. */
export interface ReduceOptions {
  /** How two numbers become one; "sum" without. */
  readonly operation?: ReduceOperation;
}

/** How a vector is cut. */
export interface PartsOptions {
  /** Elements of each rank's part; as even as can be without. */
  readonly lengths?: readonly number[];
}

/** Who a message is from or for. */
export interface PeerOptions {
  /** Tells messages between the same two ranks apart, from 0 to 2³² - 1; 0 without. */
  readonly tag?: number;
}

/** How a communicator is split. */
export interface SplitOptions {
  /** Ranks of one color come together. */
  readonly color: number;
  /** Their order, by this and then by rank. */
  readonly key?: number;
  /** What messages call the part. */
  readonly name?: string;
}

/** A group of ranks. With one rank every call returns at once and copies nothing. */
export interface Communicator {
  /** What messages call it: "world", or the name given in splitting. */
  readonly name: string;
  /** This rank, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;

  /** Sums everybody's vector in place: the same bits on every rank (order: `tree_sum.ts`). */
  allReduce(data: Numbers, options?: ReduceOptions): void;
  /** Starts {@linkcode allReduce}. */
  startAllReduce(data: Numbers, options?: ReduceOptions): Handle<void>;

  /** Sums one part of everybody's vector in place and returns it; the rest is left as it was. */
  reduceScatter(data: Numbers, options?: ReduceOptions & PartsOptions): Numbers;
  /** Starts {@linkcode reduceScatter}. */
  startReduceScatter(data: Numbers, options?: ReduceOptions & PartsOptions): Handle<Numbers>;

  /** Fills the others' parts of a vector whose own part this rank has. */
  allGather(data: TypedArray, options?: PartsOptions): void;
  /** Starts {@linkcode allGather}. */
  startAllGather(data: TypedArray, options?: PartsOptions): Handle<void>;

  /** Copies the root's vector to everybody. */
  broadcast(data: ArrayBufferView, root: number): void;
  /** Starts {@linkcode broadcast}. */
  startBroadcast(data: ArrayBufferView, root: number): Handle<void>;

  /** Sends a vector to one rank; it may be changed afterwards. */
  send(data: ArrayBufferView, to: number, options?: PeerOptions): void;
  /** Starts {@linkcode send}, which never waits. */
  startSend(data: ArrayBufferView, to: number, options?: PeerOptions): Handle<void>;

  /** Fills a vector with what a rank sends, which must have its size. */
  recv(data: ArrayBufferView, from: number, options?: PeerOptions): void;
  /** Starts {@linkcode recv}. */
  startRecv(data: ArrayBufferView, from: number, options?: PeerOptions): Handle<void>;

  /** Returns when every rank has called it. */
  barrier(): void;
  /** Starts {@linkcode barrier}. */
  startBarrier(): Handle<void>;

  /** The communicator of the ranks that give the same color. */
  split(options: SplitOptions): Communicator;
  /** Starts {@linkcode split}. */
  startSplit(options: SplitOptions): Handle<Communicator>;

  /** Moves all started calls on, as far as they can go without waiting. */
  progress(): void;

  /** What was sent and waited for by this communicator, not by parts of it. */
  traffic(): Partial<Record<CallKind, TrafficCount>>;
}

/** Arrays that have elements. */
export type TypedArray =
  | Numbers
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;
