/**
 * The word that a misspelt one most likely meant.
 *
 * @module
 */

/** Number of insertions, deletions, replacements and swaps of neighbours between two words. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, replaced);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j]!, before[j - 2]! + 1);
    }
    before = above;
    above = row;
  }
  return above[b.length]!;
}

/**
 * The candidate that a misspelt word most likely meant, or `undefined` where none is close: at most
 * two edits and two fifths of the longer word away, or longer by an ending (`--temp`).
 *
 * Source: optimal string alignment distance, Damerau 1964.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const lower = word.toLowerCase().slice(0, 64);
  let best: string | undefined;
  let bestEdits = 3;
  for (const candidate of candidates) {
    const other = candidate.toLowerCase();
    const edits = distance(lower, other);
    const close = edits <= 0.4 * Math.max(lower.length, other.length);
    if (close && edits < bestEdits) [best, bestEdits] = [candidate, edits];
  }
  if (best !== undefined || lower.length < 3) return best;
  for (const candidate of candidates) {
    if (candidate.toLowerCase().startsWith(lower)) return candidate;
  }
  return undefined;
}

/** The hint `did you mean x?`, or `undefined` where no candidate is close. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const found = nearest(word, candidates);
  return found === undefined ? undefined : `did you mean ${found}?`;
}
