/**
 * Bytes held back until what follows them has come.
 *
 * @module
 */

/** Collects parts without copying what was collected before. */
export class HeldBytes {
  #parts: Uint8Array[] = [];
  /** How many bytes are held. */
  length = 0;

  /** Holds a copy of these bytes back, behind those before. */
  hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes.slice());
    this.length += bytes.length;
  }

  /** Gives what was held, and `more` behind it; afterwards nothing is held. */
  take(more: Uint8Array = new Uint8Array()): Uint8Array {
    if (this.length === 0) return more;
    const all = new Uint8Array(this.length + more.length);
    let at = 0;
    for (const part of [...this.#parts, more]) {
      all.set(part, at);
      at += part.length;
    }
    this.#parts = [];
    this.length = 0;
    return all;
  }
}
