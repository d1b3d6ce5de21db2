/**
 * What ranks with a GPU each need of the backend to reach each other: NCCL, and queues beside that of
 * kernels. A backend has it where its memory is a GPU's.
 *
 * Work between ranks is enqueued like kernels and nobody waits for it: a value stands for its end, and
 * kernels are told to begin after it. A rank that is gone would make the others wait forever; so whoever
 * must wait here looks, and has a function called between looks that throws once the work has ended.
 *
 * @module
 */

import type { Address } from "./backend.ts";

/** Bytes by which the ranks of one communicator find each other. */
export const UNIQUE_ID_BYTES = 128;

/** Queues between ranks: what one of them waits for does not keep the others. */
export const RANK_QUEUES = 5;

/** The end of some work on a queue between ranks. */
export interface QueueEnd {
  /** The queue. */
  readonly queue: number;
  /** Which end of that queue, counted from 1. */
  readonly number: number;
}

/** Scores of rows whose vocabulary several ranks share; all addresses are of f32, but `counts`. */
export interface VocabularyTotals {
  /** What ranks have told: shift, sum and chosen logit of every row [ranks, 3, rows]. */
  readonly told: Address;
  /** How many ranks. */
  readonly ranks: number;
  /** This one. */
  readonly rank: number;
  /** Rows. */
  readonly rows: number;
  /** Whether each row's target counts, i32 [rows]. */
  readonly counts: Address;
  /** Where log-probabilities of the targets go [rows]. */
  readonly logProb: Address;
  /** Where log Z goes [rows]. */
  readonly logZ: Address;
  /** What is wanted of the loss's gradient: factors of the exponentials, from weights of rows. */
  readonly gradient?: {
    readonly weights: Address;
    readonly zLoss: number;
    readonly factors: Address;
  } | undefined;
}

/** A message of an exchange. */
export interface DeviceMessage {
  /** Whether it is sent or received. */
  readonly way: "send" | "receive";
  /** The other rank. */
  readonly peer: number;
  /** Where the bytes are, or where they go. */
  readonly address: Address;
  /** How many; the other rank says the same. */
  readonly bytes: number;
}

/** Communicating ranks of one group. */
export interface DeviceChannel {
  /** Enqueues messages that depend on each other's progress; within {@linkcode DeviceLink.enqueue}. */
  exchange(messages: readonly DeviceMessage[]): void;
  /** Ends it at once: what is on its way is lost, and other ranks that wait for it learn of it. */
  close(): void;
}

/** A GPU's way to other GPUs. */
export interface DeviceLink {
  /** What no other GPU is called; contexts on one GPU share it. */
  readonly identity: string;
  /** Bytes of its memory that are free now, where that can be told. */
  freeBytes(): number | undefined;
  /**
   * Loads NCCL, or the library of a name or path, and returns its version.
   *
   * @throws {BackendError} Where there is none, or it is too old.
   */
  load(library?: string): string;
  /** New bytes by which ranks find each other. */
  uniqueId(): Uint8Array<ArrayBuffer>;
  /** Opens a channel; every rank calls this with the same bytes. @throws {BackendError} */
  open(
    id: Uint8Array<ArrayBuffer>,
    place: { readonly rank: number; readonly size: number },
  ): DeviceChannel;
  /**
   * Has what the function enqueues — exchanges, copies, kernels — run on a queue between ranks, after the
   * kernels that were enqueued before. Returns its end; within another such function of the same queue,
   * that one's.
   *
   * @param queue Below {@linkcode RANK_QUEUES}; 0 without.
   */
  enqueue(work: () => void, queue?: number): QueueEnd;
  /** Whether that end has come. */
  reached(end: QueueEnd): boolean;
  /** Lets kernels that are enqueued from now on begin after that end. */
  join(end: QueueEnd): void;
  /** Waits for it, at most so many milliseconds; without a limit until all ranks' work ends. */
  wait(end: QueueEnd, limitMs?: number): void;
  /** Enqueues what puts the scores of all parts of a vocabulary together, as a kernel. */
  vocabularyTotals(totals: VocabularyTotals): void;
  /**
   * Calls a function in all waiting, with the milliseconds waited so far; once it throws, all channels
   * are closed.
   */
  watch(check: (waitedMs: number) => void): void;
}
