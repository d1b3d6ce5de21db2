/**
 * Whose the tokens of a batch are where tensor ranks share the vocabulary, counted outside the backend:
 * every rank knows the whole batch.
 *
 * @module
 */

import { evenParts, type Part } from "../../comm/parts.ts";

/** Looks tokens up by their owners. */
export class SharedTokens {
  readonly #parts: readonly Part[];
  readonly #rank: number;

  /** Shares out a vocabulary over ranks. */
  constructor(
    { vocabSize, rank, size }: {
      readonly vocabSize: number;
      readonly rank: number;
      readonly size: number;
    },
  ) {
    this.#parts = evenParts(vocabSize, size);
    this.#rank = rank;
  }

  /** How many tokens this rank has. */
  get own(): number {
    const { start, end } = this.#parts[this.#rank]!;
    return end - start;
  }

  /** Whose a token is. */
  owner(token: number): number {
    return this.#parts.findIndex(({ end }) => token < end);
  }

  /** This rank's tokens of a batch, as rows of its table. */
  ids(tokens: Int32Array): Int32Array<ArrayBuffer> {
    const { start, end } = this.#parts[this.#rank]!;
    return Int32Array.from(tokens.filter((token) => token >= start && token < end), (token) => {
      return token - start;
    });
  }

  /** Tokens of some rows that a rank has. */
  count(tokens: Int32Array, { start, end }: Part, owner: number): number {
    const part = this.#parts[owner]!;
    let count = 0;
    for (let row = start; row < end; row++) {
      const token = tokens[row]!;
      if (token >= part.start && token < part.end) count++;
    }
    return count;
  }
}
