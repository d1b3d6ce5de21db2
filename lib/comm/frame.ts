/**
 * Messages as a stream of bytes, for transports that carry no more than that: 32 bytes of envelope,
 * then the payload.
 *
 * @module
 */

import type { Envelope, Message } from "./transport.ts";

/** Bytes of an envelope in a stream. */
export const HEADER_BYTES = 32;

/** The envelope and the length of the payload as bytes: 4 × u32, 2 × f64, in the machine's order. */
export function headerOf(envelope: Envelope, payloadBytes: number): Uint8Array<ArrayBuffer> {
  const { channel, kind, sequence, round, total } = envelope;
  const header = new ArrayBuffer(HEADER_BYTES);
  new Uint32Array(header, 0, 4).set([channel, kind, sequence, round]);
  // Lengths go past 2³² exactly in these.
  new Float64Array(header, 16, 2).set([total, payloadBytes]);
  return new Uint8Array(header);
}

/** Puts messages together again from a stream. */
export class FrameReader {
  readonly #header: Uint8Array<ArrayBuffer> = new Uint8Array(HEADER_BYTES);
  #message: Message | undefined;
  #filled = 0;

  /**
   * Reads what there is; `read` fills the start of an array and returns how many bytes it wrote.
   *
   * @returns Whether anything was read.
   */
  pull(read: (target: Uint8Array) => number, deliver: (message: Message) => void): boolean {
    let any = false;
    while (true) {
      const target: Uint8Array = this.#message?.bytes ?? this.#header;
      const count = read(target.subarray(this.#filled));
      any ||= count > 0;
      this.#filled += count;
      if (this.#filled < target.length) return any;
      this.#filled = 0;
      const message = this.#message;
      this.#message = message === undefined ? this.#open() : undefined;
      if (message !== undefined) deliver(message);
      else if (this.#message!.bytes.length === 0) {
        deliver(this.#message!);
        this.#message = undefined;
      }
    }
  }

  #open(): Message {
    const { buffer } = this.#header;
    const [channel, kind, sequence, round] = new Uint32Array(buffer, 0, 4);
    const [total, length] = new Float64Array(buffer, 16, 2);
    const envelope = {
      ...{ channel: channel!, kind: kind!, sequence: sequence!, round: round! },
      total: total!,
    };
    return { envelope, bytes: new Uint8Array(length!) };
  }
}
