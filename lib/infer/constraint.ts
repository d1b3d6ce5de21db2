/**
 * What may come next in a text whose form is prescribed.
 *
 * @module
 */

/** Follows a text token by token and says which tokens may come next; one serves one text. */
export interface TokenConstraint {
  /**
   * Sets the logits [V] of all tokens that may not come next to -Infinity; at least one is left. An
   * end token may come where the text is complete.
   */
  mask(logits: Float32Array): void;
  /** Takes the token that was chosen; end tokens are not passed on. */
  accept(id: number): void;
}
