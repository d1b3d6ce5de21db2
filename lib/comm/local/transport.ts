/**
 * The transport between the workers of one process: rings of bytes in shared memory.
 *
 * @module
 */

import { CommunicationError } from "../../base/errors.ts";
import { FrameReader, HEADER_BYTES, headerOf } from "../frame.ts";
import type { Envelope, Message, Transport } from "../transport.ts";
import type { MeetingPlace, Ring } from "./meeting_place.ts";

interface Peer {
  readonly rank: number;
  readonly outward: Ring;
  readonly inward: Ring;
  readonly reader: FrameReader;
  /** What did not fit into the ring yet, copied. */
  waiting: Uint8Array[];
}

/** One rank's end of all its rings. */
export class LocalTransport implements Transport {
  /** What the registry calls it. */
  readonly name = "local";
  /** This rank, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  readonly #place: MeetingPlace;
  readonly #peers: readonly Peer[];
  #bytesSent = 0;
  #rung = 0;

  /** Takes the seat of one rank, which nobody else may take. */
  constructor(place: MeetingPlace, rank: number) {
    this.#place = place;
    this.rank = rank;
    this.size = place.size;
    this.#peers = Array.from({ length: place.size }, (_, other) => ({
      rank: other,
      outward: place.ring(rank, other),
      inward: place.ring(other, rank),
      reader: new FrameReader(),
      waiting: [],
    }));
  }

  /** Bytes handed over so far, envelopes and all. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Whether all that was sent has left this rank. */
  get flushed(): boolean {
    return this.#peers.every(({ waiting }) => waiting.length === 0);
  }

  /** Takes a message along and returns at once; what does not fit is copied. */
  send(to: number, envelope: Envelope, payload: Uint8Array): void {
    this.#check();
    const peer = this.#peers[to]!;
    this.#bytesSent += HEADER_BYTES + payload.length;
    for (const piece of [headerOf(envelope, payload.length), payload]) {
      const written = peer.waiting.length === 0 ? peer.outward.write(piece) : 0;
      // Messages stay whole and in order: what comes after a rest waits behind it.
      if (written < piece.length) peer.waiting.push(piece.slice(written));
    }
    this.#place.wake(to);
  }

  /** Moves what can move. @throws {CommunicationError} Where another rank has ended the work. */
  poll(deliver: (from: number, message: Message) => void): void {
    // Before looking: what comes after the look rings once more, and the sleep does not begin.
    this.#rung = this.#place.rung(this.rank);
    this.#check();
    for (const peer of this.#peers) {
      if (peer.rank === this.rank) continue;
      const { inward, reader, rank } = peer;
      const read = (target: Uint8Array) => inward.read(target);
      const moved = reader.pull(read, (message) => deliver(rank, message));
      if (this.#flush(peer) || moved) this.#place.wake(rank);
    }
  }

  #flush(peer: Peer): boolean {
    let any = false;
    while (peer.waiting.length > 0) {
      const piece = peer.waiting[0]!;
      const written = peer.outward.write(piece);
      any ||= written > 0;
      if (written < piece.length) {
        peer.waiting[0] = piece.subarray(written);
        return any;
      }
      peer.waiting.shift();
    }
    return any;
  }

  #check(): void {
    const aborted = this.#place.aborted();
    if (aborted === undefined) return;
    throw new CommunicationError(aborted.reason, { rank: aborted.rank });
  }

  /** Sleeps until `poll` may find something, at most so many milliseconds. */
  sleep(atMostMs: number): void {
    this.#place.sleep(this.rank, { rung: this.#rung, atMostMs });
  }

  /** Whether a rank has ended. */
  ended(rank: number): boolean {
    return this.#place.ended(rank);
  }

  /** Ends the work of all ranks. */
  abort(reason: string, rank: number = this.rank): void {
    this.#place.abort(rank, reason);
  }
}
