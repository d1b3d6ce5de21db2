/**
 * Parsers for the values of options. Each refuses what it cannot take with an {@linkcode InvalidValue}
 * that says what was wanted; the caller adds the option's name.
 *
 * @module
 */

/** A value that an option cannot take; the message completes "not …". */
export class InvalidValue extends Error {
  /** The name of this class. */
  override name = "InvalidValue";
}

/** Bounds of a number; `min` and `max` are allowed themselves, `above` and `below` are not. */
export interface Bounds {
  /** Smallest value; none without it. */
  readonly min?: number;
  /** What the value must exceed. */
  readonly above?: number;
  /** Largest value; none without it. */
  readonly max?: number;
  /** What the value must stay below. */
  readonly below?: number;
}

function range({ min, above, max, below }: Bounds): string {
  if (min !== undefined && below !== undefined) return ` from ${min} to below ${below}`;
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  if (above !== undefined) {
    return ` above ${above}${max === undefined ? "" : ` and at most ${max}`}`;
  }
  return max === undefined ? "" : ` of at most ${max}`;
}

function within(value: number, { min, above, max, below }: Bounds): boolean {
  const low = value >= (min ?? -Infinity) && value > (above ?? -Infinity);
  return low && value <= (max ?? Infinity) && value < (below ?? Infinity);
}

/** Parses a whole number within bounds, written in decimal digits. */
export function integer(bounds: Bounds = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(value) && within(value, bounds)) return value;
    // A number beyond what is counted exactly is told the end that it passed.
    const max = value > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : Infinity;
    const told = { ...bounds, max: Math.min(bounds.max ?? Infinity, max) };
    throw new InvalidValue(`a whole number${range(told.max === Infinity ? bounds : told)}`);
  };
}

/** Parses a finite number within bounds, such as `0.8` or `3e-4`. */
export function real(bounds: Bounds = {}): (text: string) => number {
  return (text) => {
    const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
    const value = decimal ? Number(text) : NaN;
    if (Number.isFinite(value) && within(value, bounds)) return value;
    throw new InvalidValue(`a number${range(bounds)}`);
  };
}

/** Parses one fixed word or what another parser takes, such as `auto` or a count. */
export function wordOr<W extends string, T>(
  word: W,
  parse: (text: string) => T,
): (text: string) => W | T {
  return (text) => {
    if (text === word) return word;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      throw new InvalidValue(`"${word}" or ${error.message}`);
    }
  };
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** Parses a size such as `5GB`, `500 MiB` or a plain number of bytes; at least one byte. */
export function byteSize(): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text);
    const unit = BYTE_UNITS[match?.[2]?.toUpperCase() ?? ""];
    const value = match === null || unit === undefined ? NaN : Math.floor(Number(match[1]) * unit);
    if (Number.isSafeInteger(value) && value >= 1) return value;
    throw new InvalidValue("a size such as 5GB or 500MiB");
  };
}
