/**
 * What can come of a pickle: Python's plain values, and what the reader's rules make.
 *
 * @module
 */

/** A value that the caller's rules made: a tensor, a storage. */
export abstract class PickleObject {
  /** What it is, for messages. */
  abstract readonly kind: string;
}

/** The name of a Python function or class that the caller's rules allow; it can be called through them and no more. */
export class PickleGlobal {
  /** Makes a name of a module and what it holds. */
  constructor(
    /** `module.name`. */
    readonly name: string,
  ) {}
}

/** What Python's `(a, b)` becomes. */
export class PickleTuple {
  /** Makes a tuple. */
  constructor(
    /** The items, in order. */
    readonly items: readonly PickleValue[],
  ) {}
}

/** What Python's `[a, b]` becomes; it can hold itself. */
export class PickleList {
  /** The items, in the order in which they were appended. */
  readonly items: PickleValue[] = [];
}

/** A dict or OrderedDict whose keys are strings or integers. */
export class PickleDict {
  /** Values by key, in the order in which they were set. */
  readonly entries: Map<string | number, PickleValue> = new Map();
}

/** Anything that can come of a pickle here. */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | PickleObject;
