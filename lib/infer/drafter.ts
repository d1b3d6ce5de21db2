/**
 * Guessing the tokens that come next, so that one forward pass can confirm several of them.
 *
 * A guess is confirmed where the model, with the same draw, would have chosen the same token: the
 * text is exactly the one without guesses, for greedy and for random choice alike. Source: Leviathan
 * et al. 2023, with equality in place of their rejection sampling; look-up: Saxena 2023.
 *
 * @module
 */

/** Guesses the next tokens of one text. */
export interface Drafter {
  /** At most `limit` tokens that may come after `tokens`; none where there is nothing to guess by. */
  propose(
    tokens: readonly number[],
    limit: number,
  ): readonly number[] | Promise<readonly number[]>;
  /** Gives back what the drafter holds. */
  close?(): void;
}

/** Tokens that a drafter guesses at once, where nothing else is asked for. */
export const DRAFT_TOKENS = 8;

/** Longest end of the text that is looked up. */
const LONGEST_MATCH = 4;

/**
 * Guesses that what followed the text's last tokens earlier follows them again: for summaries, edits,
 * code, whatever repeats its prompt.
 */
export class LookupDrafter implements Drafter {
  /** Where each run of tokens was last followed by another token, by its length and tokens. */
  readonly #ends = new Map<string, number>();
  #indexed = 0;

  /** The tokens after the latest earlier place where the longest end of the text stands. */
  propose(tokens: readonly number[], limit: number): readonly number[] {
    this.#index(tokens);
    for (let size = Math.min(LONGEST_MATCH, tokens.length - 1); size > 0; size--) {
      const end = this.#ends.get(keyOf(tokens, tokens.length, size));
      if (end !== undefined) return tokens.slice(end, end + limit);
    }
    return [];
  }

  /** Notes every run that ends before the last token: it has a token after it. */
  #index(tokens: readonly number[]): void {
    for (let end = this.#indexed + 1; end < tokens.length; end++) {
      for (let size = 1; size <= Math.min(LONGEST_MATCH, end); size++) {
        this.#ends.set(keyOf(tokens, end, size), end);
      }
      this.#indexed = end;
    }
  }
}

function keyOf(tokens: readonly number[], end: number, size: number): string {
  return tokens.slice(end - size, end).join(",");
}
