/**
 * Follows texts through a grammar: a push-down automaton that is made deterministic while it runs.
 *
 * A state is the set of places where a text can stand in the grammar, each with the places to return
 * to. States are kept by number, so that every step that was made once is a look-up.
 *
 * @module
 */

import { CharClasses } from "./char_set.ts";
import type { Grammar } from "./grammar.ts";

/** The state of texts that the grammar does not give. */
export const DEAD: number = -1;

/** Deepest nesting of a text; what would nest deeper may not come. */
const MOST_DEPTH = 2_000;

/** Most places of one state: a grammar that is more ambiguous than this would take all memory. */
const MOST_PLACES = 10_000;

/** A place in the grammar with the way back. */
interface Place {
  /** Number of the sequence, and symbols of it that are done. */
  readonly sequence: number;
  readonly done: number;
  /** Number of the place to go on with afterwards; -1 at the end of the text. */
  readonly back: number;
  readonly depth: number;
}

interface State {
  /** Places that wait for a character. */
  readonly places: readonly number[];
  /** Whether the text may end here. */
  readonly accepts: boolean;
  /** The state after each class of characters, as far as it is known. */
  readonly next: Int32Array;
}

const UNKNOWN = -2;

/** The automaton of one grammar; it serves any number of texts. */
export class GrammarAutomaton {
  /** Classes of characters that the grammar tells apart. */
  readonly classes: CharClasses;
  /** The state of the empty text. */
  readonly start: number;
  readonly #sequences: (readonly number[])[] = [];
  /** Numbers of the sequences of each rule. */
  readonly #alternatives: number[][];
  readonly #places: Place[] = [];
  readonly #placeNumbers = new Map<string, number>();
  readonly #states: State[] = [];
  readonly #stateNumbers = new Map<string, number>();

  /** Prepares a grammar. */
  constructor(grammar: Grammar) {
    this.classes = new CharClasses(grammar.sets);
    this.#alternatives = grammar.rules.map((alternatives) =>
      alternatives.map((sequence) => this.#sequences.push(sequence) - 1)
    );
    const places = new Set<number>();
    const visited = new Set<number>();
    let accepts = false;
    for (const sequence of this.#alternatives[grammar.root]!) {
      const place = this.#place({ sequence, done: 0, back: -1, depth: 0 });
      accepts = this.#expand(place, { places, visited }) || accepts;
    }
    this.start = this.#state(places, accepts);
  }

  /** Whether a text may end in a state. */
  accepts(state: number): boolean {
    return state >= 0 && this.#states[state]!.accepts;
  }

  /** Whether anything can follow in a state. */
  continues(state: number): boolean {
    return state >= 0 && this.#states[state]!.places.length > 0;
  }

  /** The state after a character of a class; {@linkcode DEAD} where it may not come. */
  step(state: number, charClass: number): number {
    if (state < 0) return DEAD;
    const { next, places } = this.#states[state]!;
    if (next[charClass] === UNKNOWN) next[charClass] = this.#follow(places, charClass);
    return next[charClass]!;
  }

  #follow(from: readonly number[], charClass: number): number {
    const places = new Set<number>();
    const visited = new Set<number>();
    let accepts = false;
    for (const number of from) {
      const { sequence, done, back, depth } = this.#places[number]!;
      if (!this.classes.has(this.#sequences[sequence]![done]!, charClass)) continue;
      const after = this.#after(sequence, done, back, depth);
      accepts = (after < 0 || this.#expand(after, { places, visited })) || accepts;
    }
    if (places.size > MOST_PLACES) return DEAD;
    return places.size === 0 && !accepts ? DEAD : this.#state(places, accepts);
  }

  /** The place after symbol `done` of a sequence: where it ends, the place to return to. */
  #after(sequence: number, done: number, back: number, depth: number): number {
    return done + 1 === this.#sequences[sequence]!.length
      ? back
      : this.#place({ sequence, done: done + 1, back, depth });
  }

  /** Goes into rules until characters are wanted; says whether the text may end on the way. */
  #expand(first: number, found: { places: Set<number>; visited: Set<number> }): boolean {
    const work = [first];
    let accepts = false;
    while (work.length > 0) {
      const number = work.pop()!;
      if (number < 0) {
        accepts = true;
        continue;
      }
      if (found.visited.has(number)) continue;
      found.visited.add(number);
      const { sequence, done, back, depth } = this.#places[number]!;
      const symbol = this.#sequences[sequence]![done];
      if (symbol === undefined) work.push(back);
      else if (symbol >= 0) found.places.add(number);
      else {
        const after = this.#after(sequence, done, back, depth);
        // A rule at the end of a sequence returns to where that would: lists need no depth.
        const deeper = after === back ? depth : depth + 1;
        if (deeper > MOST_DEPTH) continue;
        for (const alternative of this.#alternatives[~symbol]!) {
          work.push(this.#place({ sequence: alternative, done: 0, back: after, depth: deeper }));
        }
      }
    }
    return accepts;
  }

  #place(place: Place): number {
    const key = `${place.sequence},${place.done},${place.back}`;
    const known = this.#placeNumbers.get(key);
    if (known !== undefined) return known;
    const number = this.#places.push(place) - 1;
    this.#placeNumbers.set(key, number);
    return number;
  }

  #state(places: ReadonlySet<number>, accepts: boolean): number {
    const sorted = [...places].sort((a, b) => a - b);
    const key = `${sorted}${accepts ? "!" : ""}`;
    const known = this.#stateNumbers.get(key);
    if (known !== undefined) return known;
    const next = new Int32Array(this.classes.count).fill(UNKNOWN);
    const number = this.#states.push({ places: sorted, accepts, next }) - 1;
    this.#stateNumbers.set(key, number);
    return number;
  }
}
