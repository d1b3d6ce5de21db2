/**
 * What ranks with a GPU each need of the backend to reach each other: NCCL, and a queue beside that of
 * kernels. A backend has it where its memory is a GPU's.
 *
 * Work between ranks is enqueued like kernels and nobody waits for it: a number stands for its end, and
 * kernels are told to begin after it. A rank that is gone would make the others wait forever; so whoever
 * must wait here looks, and has a function called between looks that throws once the work has ended.
 *
 * @module
 */

import type { Address } from "./backend.ts";

/** Bytes by which the ranks of one communicator find each other. */
export const UNIQUE_ID_BYTES = 128;

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
   * Has what the function enqueues — exchanges, copies, kernels — run on the queue between ranks, after
   * the kernels that were enqueued before. Returns the number of its end; within another such function,
   * of that one's.
   */
  enqueue(work: () => void): number;
  /** Whether the end with this number has come. */
  reached(end: number): boolean;
  /** Lets kernels that are enqueued from now on begin after that end. */
  join(end: number): void;
  /** Waits for it. */
  wait(end: number): void;
  /**
   * Calls a function in all waiting, with the milliseconds waited so far; once it throws, all channels
   * are closed.
   */
  watch(check: (waitedMs: number) => void): void;
}
