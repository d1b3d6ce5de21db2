/**
 * "Did you mean": finds the known word that a misspelt one most likely stands for.
 *
 * @module
 */

import { quoted } from "./quoted.ts";

/**
 * The smallest number of insertions, deletions, replacements and swaps of neighbours that turns one
 * word into another (optimal string alignment distance).
 */
export function editDistance(from: string, to: string): number {
  const width = to.length + 1;
  let before = new Uint32Array(width);
  let last = Uint32Array.from({ length: width }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const row = new Uint32Array(width);
    row[0] = i;
    for (let j = 1; j < width; j++) {
      const replaced = last[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      let best = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1);
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      if (swapped) best = Math.min(best, before[j - 2]! + 1);
      row[j] = best;
    }
    before = last;
    last = row;
  }
  return last[to.length]!;
}

/** Longer words than these are no misspellings of anything that Llamero knows. */
const LONGEST = 80;

/** A word without what people leave out or mistake: case, and the marks between its parts. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[-_. ]/g, "");
}

/**
 * The known word nearest to `word`, or `undefined` where none is near enough: a third of the
 * letters may differ, case and separators do not count, and a beginning counts as near.
 */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  if (word === "" || word.length > LONGEST) return undefined;
  const wanted = plain(word);
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of known) {
    const name = plain(candidate);
    const allowed = Math.max(1, Math.floor(Math.max(wanted.length, name.length) / 3));
    const isBeginning = wanted.length >= 3 && name.startsWith(wanted);
    const edits = editDistance(wanted, name);
    const distance = isBeginning ? Math.min(edits, allowed) : edits;
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `did you mean "x"?`, or `undefined` where no known word is near; for an error's `hint`. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const nearest = suggest(word, known);
  return nearest === undefined ? undefined : `did you mean ${quoted(nearest)}?`;
}
