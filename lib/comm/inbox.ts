/**
 * What has arrived and was not asked for yet.
 *
 * @module
 */

import { CALL_KINDS } from "./call.ts";
import type { Envelope, Message } from "./transport.ts";

/** The number of point-to-point messages among the kinds. */
export const SEND_KIND: number = CALL_KINDS.indexOf("send");

/** Messages by communicator and sender, in the order of their sending. */
export class Inbox {
  readonly #waiting: Map<string, Message[]> = new Map();

  /** Keeps a message. */
  put(from: number, message: Message): void {
    const key = `${message.envelope.channel}/${from}`;
    const messages = this.#waiting.get(key);
    if (messages === undefined) this.#waiting.set(key, [message]);
    else messages.push(message);
  }

  /**
   * Takes the message that a call waits for, or tells of one that its sender cannot have sent if it
   * makes the same calls: of the same call in another kind or size, or of a call that is over here.
   */
  take(
    from: number,
    wanted: Envelope & { readonly oldest: number },
  ): { readonly message?: Message; readonly foreign?: Envelope } {
    const messages = this.#waiting.get(`${wanted.channel}/${from}`) ?? [];
    for (const [at, message] of messages.entries()) {
      const { kind, sequence, round, total } = message.envelope;
      if (wanted.kind === SEND_KIND || kind === SEND_KIND) {
        if (kind !== wanted.kind || sequence !== wanted.sequence) continue;
        // Sizes of two single messages are compared by the receiver, which knows both.
        messages.splice(at, 1);
        return { message };
      }
      if (sequence < wanted.oldest) return { foreign: message.envelope };
      if (sequence !== wanted.sequence) continue;
      if (kind !== wanted.kind || total !== wanted.total) return { foreign: message.envelope };
      if (round !== wanted.round) continue;
      messages.splice(at, 1);
      return { message };
    }
    return {};
  }
}
