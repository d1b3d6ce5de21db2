/**
 * Extended grapheme clusters: what people take for one character (Unicode, UAX 29, rules GB3 to GB999).
 *
 * @module
 */

import { GRAPHEME_RUNS } from "./grapheme_classes.generated.ts";

/** What a character does to the borders around it (UAX 29, table 2), as the generated runs number it. */
export const GRAPHEME_CLASS = {
  /** Has borders around, unless another one takes them. */
  other: 0,
  /** CR. */
  return: 1,
  /** LF. */
  feed: 2,
  /** Always has borders around. */
  control: 3,
  /** Belongs to what stands before. */
  extend: 4,
  /** Likewise, and conjuncts reach across it (InCB=Extend). */
  conjunctExtend: 5,
  /** Likewise, and joins consonants (InCB=Linker). */
  linker: 6,
  /** U+200D, which joins pictographs. */
  joiner: 7,
  /** Belongs to what stands before, and ends what a joiner could join. */
  spacing: 8,
  /** Belongs to what follows. */
  prepend: 9,
  /** A Hangul consonant that begins a syllable. */
  leading: 10,
  /** A Hangul vowel. */
  vowel: 11,
  /** A Hangul consonant that ends a syllable. */
  trailing: 12,
  /** A Hangul syllable that a consonant may still end. */
  syllable: 13,
  /** A Hangul syllable with its last consonant. */
  closedSyllable: 14,
  /** A pictograph, such as an emoji. */
  pictograph: 15,
  /** A consonant of a script with conjuncts (InCB=Consonant). */
  consonant: 16,
  /** Half of a flag. */
  regional: 17,
} as const;

/** The name of a class. */
export type GraphemeClass = keyof typeof GRAPHEME_CLASS;

const IS = GRAPHEME_CLASS;

let classes: Uint8Array | undefined;

/** The class of each character. */
function classTable(): Uint8Array {
  if (classes !== undefined) return classes;
  classes = new Uint8Array(0x110000);
  let at = 0;
  for (const run of GRAPHEME_RUNS.split(" ")) {
    const length = run.length === 1 ? 1 : parseInt(run.slice(1), 36);
    classes.fill(parseInt(run[0]!, 36), at, at + length);
    at += length;
  }
  return classes;
}

const setOf = (...all: number[]): number => all.reduce((set, one) => set | 1 << one, 0);
const has = (set: number, one: number): boolean => (set >> one & 1) === 1;

const BREAKING = setOf(IS.return, IS.feed, IS.control);
const EXTENDING = setOf(IS.extend, IS.conjunctExtend, IS.linker);
const FOLLOWING = EXTENDING | setOf(IS.joiner, IS.spacing);
const OF_CONJUNCT = setOf(IS.conjunctExtend, IS.linker, IS.joiner);
const AFTER_LEADING = setOf(IS.leading, IS.vowel, IS.syllable, IS.closedSyllable);
const AFTER_VOWEL = setOf(IS.vowel, IS.trailing);

/** What of a cluster decides whether it goes on. */
interface Cluster {
  /** Class of its last character. */
  last: number;
  /** Behind a pictograph and what extends it: 1, and then a joiner: 2; else 0. */
  pictograph: 0 | 1 | 2;
  /** Behind a consonant and what extends it: 1, with a linker among that: 2; else 0. */
  conjunct: 0 | 1 | 2;
  /** Whether an odd number of halves of flags stands at its end. */
  half: boolean;
}

/** Whether a cluster goes on with a character of this class. */
function goesOn({ last, pictograph, conjunct, half }: Cluster, next: number): boolean {
  if (has(BREAKING, last) || has(BREAKING, next)) return last === IS.return && next === IS.feed;
  if (has(FOLLOWING, next) || last === IS.prepend) return true;
  switch (last) {
    case IS.leading:
      return has(AFTER_LEADING, next);
    case IS.syllable:
    case IS.vowel:
      return has(AFTER_VOWEL, next);
    case IS.closedSyllable:
    case IS.trailing:
      return next === IS.trailing;
  }
  return (next === IS.consonant && conjunct === 2) ||
    (next === IS.pictograph && pictograph === 2) ||
    (next === IS.regional && half);
}

function add(cluster: Cluster, next: number): void {
  cluster.last = next;
  if (next === IS.pictograph) cluster.pictograph = 1;
  else if (!has(EXTENDING, next) || cluster.pictograph !== 1) {
    cluster.pictograph = next === IS.joiner && cluster.pictograph === 1 ? 2 : 0;
  }
  if (next === IS.consonant) cluster.conjunct = 1;
  else if (!has(OF_CONJUNCT, next)) cluster.conjunct = 0;
  else if (next === IS.linker && cluster.conjunct === 1) cluster.conjunct = 2;
  cluster.half = next === IS.regional && !cluster.half;
}

/** Where the cluster ends that begins at `start`, in units of UTF-16 of a well-formed text. */
export function graphemeEnd(text: string, start: number): number {
  const table = classTable();
  const cluster: Cluster = { last: IS.other, pictograph: 0, conjunct: 0, half: false };
  let at = start;
  while (at < text.length) {
    const code = text.codePointAt(at)!;
    const next = table[code]!;
    if (at > start && !goesOn(cluster, next)) break;
    add(cluster, next);
    at += code > 0xffff ? 2 : 1;
  }
  return at;
}
