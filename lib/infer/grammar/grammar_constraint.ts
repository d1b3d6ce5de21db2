/**
 * Lets a text follow a grammar: of the model's tokens only those may come that leave a way on.
 *
 * @module
 */

import { ConfigError } from "../../base/errors.ts";
import type { TokenConstraint } from "../constraint.ts";
import type { LanguageModel } from "../language_model.ts";
import { DEAD, GrammarAutomaton } from "./automaton.ts";
import type { Grammar } from "./grammar.ts";
import { addByte, NO_PARTIAL, type PartialCharacter } from "./partial_character.ts";
import { type TokenNode, type TokenTexts, tokenTexts } from "./token_texts.ts";

/** Masks that are kept: a text comes back to the same few states. */
const KEPT_MASKS = 512;

/** Where a text stands: in the grammar, and inside a character. */
export interface GrammarPosition {
  /** State of the automaton. */
  readonly state: number;
  /** The character that has begun. */
  readonly partial: PartialCharacter;
}

/** A grammar for the tokens of one model; it makes the constraints of any number of texts. */
export class TokenGrammar {
  readonly #model: LanguageModel;
  readonly #automaton: GrammarAutomaton;
  readonly #texts: TokenTexts;
  #startTexts: TokenTexts | undefined;
  readonly #masks = new Map<number, Uint32Array>();

  /** Prepares a grammar for a model's tokens. */
  constructor(model: LanguageModel, grammar: Grammar) {
    this.#model = model;
    this.#automaton = new GrammarAutomaton(grammar);
    this.#texts = this.#textsOf(false);
  }

  /** A constraint for the text after this prompt, which decides how the first token reads. */
  constraint(prompt: ArrayLike<number>): TokenConstraint {
    const atStart = this.#dropsSpaceAfter(prompt);
    if (atStart) this.#startTexts ??= this.#textsOf(true);
    return new GrammarConstraint(
      this,
      { state: this.#automaton.start, partial: NO_PARTIAL },
      atStart,
    );
  }

  /** Sets the logits of what may not come to -Infinity. @throws {ConfigError} When nothing may. */
  mask(logits: Float32Array, position: GrammarPosition, atStart: boolean): void {
    const allowed = this.#allowed(position, logits.length, atStart);
    let any = false;
    for (let id = 0; id < logits.length; id++) {
      if ((allowed[id >>> 5]! >>> (id & 31)) & 1) any = true;
      else logits[id] = -Infinity;
    }
    if (any) return;
    throw new ConfigError(
      "Cannot follow the grammar: no token of the model continues the text, which may not end yet",
      { hint: "allow characters that the model's tokenizer can write" },
    );
  }

  /** Where the text stands after a token. */
  after(position: GrammarPosition, id: number, atStart: boolean): GrammarPosition {
    const surface = this.#model.tokenizer.surface(id);
    const bytes = atStart && surface[0] === 0x20 ? surface.subarray(1) : surface;
    return this.#walk(position, bytes) ?? { state: DEAD, partial: NO_PARTIAL };
  }

  #textsOf(atStart: boolean): TokenTexts {
    return tokenTexts(this.#model.tokenizer, this.#automaton.classes, {
      vocabSize: this.#model.decoder.config.vocabSize,
      atStart,
    });
  }

  /** Whether the decoder drops the space of a first token, as SentencePiece does at the start. */
  #dropsSpaceAfter(prompt: ArrayLike<number>): boolean {
    const { tokenizer } = this.#model;
    const decoder = tokenizer.decoder({ skipSpecial: true });
    for (let i = 0; i < prompt.length; i++) decoder.push(prompt[i]!);
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      const surface = tokenizer.surface(id);
      if (surface.length < 2 || surface[0] !== 0x20 || surface[1]! >= 0x80) continue;
      return !decoder.push(id).startsWith(" ");
    }
    return false;
  }

  #allowed(position: GrammarPosition, vocab: number, atStart: boolean): Uint32Array {
    const isPlain = position.partial.missing === 0 && !atStart;
    const known = isPlain ? this.#masks.get(position.state) : undefined;
    if (known) return known;
    const mask = new Uint32Array(Math.ceil(vocab / 32));
    const allow = (id: number) => mask[id >>> 5]! |= 1 << (id & 31);
    const texts = atStart ? this.#startTexts! : this.#texts;
    if (position.partial.missing === 0) this.#collect(position.state, texts.root, allow);
    for (const { id, bytes } of texts.broken) {
      const after = this.#walk(position, bytes);
      if (after !== undefined && this.#leavesWay(after)) allow(id);
    }
    const ends = position.partial.missing === 0 && this.#automaton.accepts(position.state);
    for (const id of this.#model.endIds) {
      const bit = 1 << (id & 31);
      if (ends) mask[id >>> 5]! |= bit;
      else mask[id >>> 5]! &= ~bit;
    }
    if (isPlain) {
      if (this.#masks.size === KEPT_MASKS) this.#masks.delete(this.#masks.keys().next().value!);
      this.#masks.set(position.state, mask);
    }
    return mask;
  }

  #collect(state: number, node: TokenNode, allow: (id: number) => void): void {
    for (const [charClass, next] of node.next) {
      const after = this.#automaton.step(state, charClass);
      if (after === DEAD) continue;
      next.ids.forEach(allow);
      this.#collect(after, next, allow);
    }
  }

  #walk({ state, partial }: GrammarPosition, bytes: Uint8Array): GrammarPosition | undefined {
    for (const byte of bytes) {
      const next = addByte(partial, byte);
      if (next === undefined) return undefined;
      partial = next;
      if (partial.missing > 0) continue;
      state = this.#automaton.step(state, this.#automaton.classes.of(partial.first));
      if (state === DEAD) return undefined;
      partial = NO_PARTIAL;
    }
    return { state, partial };
  }

  /** Whether a character that has begun can become one that may come. */
  #leavesWay({ state, partial }: GrammarPosition): boolean {
    if (partial.missing === 0) return true;
    for (const charClass of this.#automaton.classes.within(partial.first, partial.last)) {
      if (this.#automaton.step(state, charClass) !== DEAD) return true;
    }
    return false;
  }
}

/** Follows one text. */
class GrammarConstraint implements TokenConstraint {
  readonly #grammar: TokenGrammar;
  #position: GrammarPosition;
  #atStart: boolean;

  constructor(grammar: TokenGrammar, position: GrammarPosition, atStart: boolean) {
    this.#grammar = grammar;
    this.#position = position;
    this.#atStart = atStart;
  }

  mask(logits: Float32Array): void {
    this.#grammar.mask(logits, this.#position, this.#atStart);
  }

  accept(id: number): void {
    this.#position = this.#grammar.after(this.#position, id, this.#atStart);
    this.#atStart = false;
  }
}
