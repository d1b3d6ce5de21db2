/**
 * The seam under a communicator: tagged byte messages between ranks. What carries them (shared
 * memory, MPI, NCCL) implements this and nothing else; collectives are ours, so that they sum in the
 * same order on all of them.
 *
 * @module
 */

/** What a message says of itself, so that its receiver knows which call it belongs to. */
export interface Envelope {
  /** The communicator, by a number that its ranks agreed on. */
  readonly channel: number;
  /** The call that sent it, as a number of `CALL_KINDS` in `call.ts`. */
  readonly kind: number;
  /** Which call of its communicator; for point-to-point messages the caller's tag. */
  readonly sequence: number;
  /** Which exchange of a call with several. */
  readonly round: number;
  /** Bytes of the whole vector that the call is about, so that calls of other sizes are told apart. */
  readonly total: number;
}

/** A message as it arrives. */
export interface Message {
  /** What it says of itself. */
  readonly envelope: Envelope;
  /** The payload, the receiver's own, at an offset that is a multiple of 8. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Carries messages between this rank and the others; those from one rank arrive in its order. */
export interface Transport {
  /** What the registry calls it. */
  readonly name: string;
  /** This rank, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  /** Bytes handed over so far, envelopes and all. */
  readonly bytesSent: number;

  /**
   * Takes a message along and returns at once: where the way is full, a copy waits for `poll`.
   *
   * @throws {CommunicationError} Where another rank has ended the work; names it.
   */
  send(to: number, envelope: Envelope, payload: Uint8Array): void;

  /**
   * Moves what can move: what waits to be sent goes on, what has arrived is handed out.
   *
   * @throws {CommunicationError} Where another rank has ended the work; names it.
   */
  poll(deliver: (from: number, message: Message) => void): void;

  /** Sleeps until `poll` may find something, at most so many milliseconds. */
  sleep(atMostMs: number): void;

  /** Whether a rank has said that it will send nothing more, or is known to have ended. */
  ended(rank: number): boolean;

  /** Whether all that was sent has left this rank. */
  readonly flushed: boolean;

  /** Ends the work of all ranks, who are told the reason and the rank at fault; this one without. */
  abort(reason: string, rank?: number): void;
}
