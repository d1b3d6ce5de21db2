/**
 * The transport between processes: a stream of bytes over MPI from each rank to each other.
 *
 * @module
 */

import type { MpiLink } from "../../backend/mpi_link.ts";
import { CommunicationError } from "../../base/errors.ts";
import { FrameReader, HEADER_BYTES, headerOf } from "../frame.ts";
import type { Envelope, Message, Transport } from "../transport.ts";

/** One rank's end of MPI. */
export class MpiTransport implements Transport {
  /** What the registry calls it. */
  readonly name = "mpi";
  /** This rank, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  readonly #link: MpiLink;
  readonly #readers: readonly FrameReader[];
  #bytesSent = 0;

  /** Takes the link of this process. */
  constructor(link: MpiLink) {
    this.#link = link;
    this.rank = link.rank;
    this.size = link.size;
    this.#readers = Array.from({ length: link.size }, () => new FrameReader());
  }

  /** Bytes handed over so far, envelopes and all. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Whether all that was sent has left this rank. */
  get flushed(): boolean {
    return this.#link.unsent() === 0;
  }

  /** Takes a message along and returns at once. */
  send(to: number, envelope: Envelope, payload: Uint8Array): void {
    this.#check();
    this.#bytesSent += HEADER_BYTES + payload.length;
    this.#link.write(to, headerOf(envelope, payload.length), payload);
  }

  /** Hands out what has arrived. @throws {CommunicationError} Where another rank has ended the work. */
  poll(deliver: (from: number, message: Message) => void): void {
    // Before looking: what comes after the look ends the sleep at once.
    this.#link.look();
    this.#check();
    for (const [from, reader] of this.#readers.entries()) {
      if (from === this.rank) continue;
      const read = (target: Uint8Array) => this.#link.read(from, target);
      reader.pull(read, (message) => deliver(from, message));
    }
  }

  #check(): void {
    const verdict = this.#link.verdict();
    if (verdict === undefined) return;
    throw new CommunicationError(verdict.reason, { rank: verdict.rank });
  }

  /** Sleeps until `poll` may find something, at most so many milliseconds. */
  sleep(atMostMs: number): void {
    this.#link.sleep(atMostMs);
  }

  /** Whether a rank has ended. */
  ended(rank: number): boolean {
    return this.#link.ended(rank);
  }

  /** Ends the work of all ranks. */
  abort(reason: string, rank: number = this.rank): void {
    this.#link.abort(rank, reason);
  }
}
