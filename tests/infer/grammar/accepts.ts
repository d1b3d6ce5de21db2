import { strictEqual } from "node:assert/strict";
import { GrammarAutomaton } from "../../../lib/infer/grammar/automaton.ts";
import type { Grammar } from "../../../lib/infer/grammar/grammar.ts";

/** Whether a whole text follows a grammar. */
export function accepts(grammar: Grammar | GrammarAutomaton, text: string): boolean {
  const automaton = grammar instanceof GrammarAutomaton ? grammar : new GrammarAutomaton(grammar);
  let state = automaton.start;
  for (const char of text) {
    state = automaton.step(state, automaton.classes.of(char.codePointAt(0)!));
  }
  return automaton.accepts(state);
}

/** Fails unless exactly the first texts follow the grammar. */
export function assertAccepts(
  grammar: Grammar,
  texts: { readonly yes: readonly string[]; readonly no: readonly string[] },
): void {
  const automaton = new GrammarAutomaton(grammar);
  for (const text of texts.yes) strictEqual(accepts(automaton, text), true, `wanted: ${text}`);
  for (const text of texts.no) strictEqual(accepts(automaton, text), false, `unwanted: ${text}`);
}
