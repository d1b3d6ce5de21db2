/**
 * Sets of Unicode characters as sorted ranges of code points.
 *
 * @module
 */

/** Ranges [first, last] of code points, ascending, apart from one another. */
export type CharSet = readonly (readonly [number, number])[];

/** Unicode's last code point. */
export const LAST_CODE_POINT = 0x10ffff;

/** Every character. */
export const ANY_CHAR: CharSet = [[0, LAST_CODE_POINT]];

/** The set of one code point. */
export function one(codePoint: number): CharSet {
  return [[codePoint, codePoint]];
}

/** Puts ranges into order and joins those that touch. */
export function normalizedSet(ranges: readonly (readonly [number, number])[]): CharSet {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = joined.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** All characters that are not in a set. */
export function complement(set: CharSet): CharSet {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [first, last] of set) {
    if (first > next) rest.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= LAST_CODE_POINT) rest.push([next, LAST_CODE_POINT]);
  return rest;
}

/** The characters that are in both sets. */
export function intersection(a: CharSet, b: CharSet): CharSet {
  return complement(normalizedSet([...complement(a), ...complement(b)]));
}

/** A text that is the same for equal sets. */
export function charSetKey(set: CharSet): string {
  return set.join(";");
}

/**
 * Cuts all characters into classes that no set of a grammar tells apart, so that an automaton steps
 * by class.
 */
export class CharClasses {
  /** Number of classes. */
  readonly count: number;
  /** First code point of each class's ranges, ascending; a class can have several ranges. */
  readonly #starts: Uint32Array;
  readonly #classOf: Uint32Array;
  readonly #members: readonly Uint8Array[];
  readonly #ascii = new Uint32Array(128);

  /** Cuts by the sets of a grammar. */
  constructor(sets: readonly CharSet[]) {
    const borders = new Set([0]);
    for (const set of sets) {
      for (const [first, last] of set) borders.add(first).add(last + 1);
    }
    borders.delete(LAST_CODE_POINT + 1);
    this.#starts = Uint32Array.from(borders).sort();
    // Ranges that lie in the same sets are one class.
    const membership: string[] = Array.from(this.#starts, () => "");
    for (const [index, set] of sets.entries()) {
      for (const [first, last] of set) {
        for (let at = this.#range(first); at < this.#starts.length; at++) {
          if (this.#starts[at]! > last) break;
          membership[at] += `${index},`;
        }
      }
    }
    const classes = new Map<string, number>();
    this.#classOf = Uint32Array.from(membership, (key) => {
      if (!classes.has(key)) classes.set(key, classes.size);
      return classes.get(key)!;
    });
    this.count = classes.size;
    this.#members = sets.map(() => new Uint8Array(this.count));
    for (const [key, index] of classes) {
      for (const set of key.split(",")) if (set !== "") this.#members[Number(set)]![index] = 1;
    }
    for (let code = 0; code < 128; code++) {
      this.#ascii[code] = this.#classOf[this.#range(code)]!;
    }
  }

  /** The class of a code point. */
  of(codePoint: number): number {
    return codePoint < 128 ? this.#ascii[codePoint]! : this.#classOf[this.#range(codePoint)]!;
  }

  /** Whether set `set` has the characters of a class. */
  has(set: number, charClass: number): boolean {
    return this.#members[set]![charClass] === 1;
  }

  /** The characters of a class. */
  members(charClass: number): CharSet {
    const found: [number, number][] = [];
    for (const [at, first] of this.#starts.entries()) {
      if (this.#classOf[at] !== charClass) continue;
      found.push([first, (this.#starts[at + 1] ?? LAST_CODE_POINT + 1) - 1]);
    }
    return found;
  }

  /** The classes of the code points first … last. */
  within(first: number, last: number): Set<number> {
    const found = new Set<number>();
    for (let at = this.#range(first); at < this.#starts.length; at++) {
      if (this.#starts[at]! > last) break;
      found.add(this.#classOf[at]!);
    }
    return found;
  }

  /** Index of the range that holds a code point. */
  #range(codePoint: number): number {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= codePoint) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
