/**
 * What a communicator's calls have in common while they run: which they are, and what they wait for.
 *
 * @module
 */

/** Every kind of call, in the order of their numbers in an envelope. */
export const CALL_KINDS = [
  "send",
  "allReduce",
  "reduceScatter",
  "allGather",
  "broadcast",
  "barrier",
  "split",
] as const;

/** A kind of call; receiving counts as the sending that it answers. */
export type CallKind = (typeof CALL_KINDS)[number];

/** What a call waits for: the message of one rank in one of its exchanges. */
export interface Expected {
  /** The rank within the communicator. */
  readonly from: number;
  /** Which exchange. */
  readonly round: number;
  /** How many bytes it must have. */
  readonly bytes: number;
}

/** A call in progress: yields what it waits for, is given the bytes, and returns its result. */
export type Steps<T> = Generator<Expected, T, Uint8Array<ArrayBuffer>>;

/** What the steps of a call see of the ranks that share in it. */
export interface Ranks {
  /** Number of this rank, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** Sends one message of the call. */
  send(to: number, round: number, payload: Uint8Array): void;
}
