/**
 * The errors that a user of Llamero can cause, split by what the reader does next.
 *
 * Message grammar: what could not be done, with names quoted, a colon, what is and what was wanted.
 * The `hint`, where one exists, is the command or change that most likely mends it. Mistakes of the
 * programmer stay `TypeError` and `RangeError`.
 *
 * @module
 */

/** What every {@linkcode LlameroError} may carry besides its message. */
export interface LlameroErrorOptions extends ErrorOptions {
  /** The command or change that most likely mends it, without the word "hint". */
  readonly hint?: string | undefined;
}

/** Base of all errors that the command line reports without a stack; `exitCode` is the process's. */
export class LlameroError extends Error {
  /** The name of this class. */
  override name = "LlameroError";
  /** The exit code that the command line ends with. */
  readonly exitCode: number = 1;
  /** The command or change that most likely mends it. */
  readonly hint: string | undefined;

  /** Makes an error whose message follows the grammar of this module. */
  constructor(message: string, options: LlameroErrorOptions = {}) {
    super(message, options);
    this.hint = options.hint;
  }
}

/** The command line is wrong: an unknown flag, a missing argument, a value out of range. Exit 2. */
export class UsageError extends LlameroError {
  /** The name of this class. */
  override name = "UsageError";
  /** The exit code that the command line ends with. */
  override readonly exitCode: number = 2;
}

/** A config (file, preset or flag combination) is wrong. Exit 2. */
export class ConfigError extends LlameroError {
  /** The name of this class. */
  override name = "ConfigError";
  /** The exit code that the command line ends with. */
  override readonly exitCode: number = 2;
}

/** Where in which file a {@linkcode FormatError} stands. */
export interface FormatErrorOptions extends LlameroErrorOptions {
  /** The file, as the user named it. */
  readonly file?: string | undefined;
  /** Byte offset in the file, where one is known. */
  readonly offset?: number | undefined;
}

/** A file does not hold what its format promises. Exit 1. */
export class FormatError extends LlameroError {
  /** The name of this class. */
  override name = "FormatError";
  /** The file, as the user named it. */
  readonly file: string | undefined;
  /** Byte offset in the file, where one is known. */
  readonly offset: number | undefined;

  /** Makes an error about one file; the message itself should name the file too. */
  constructor(message: string, options: FormatErrorOptions = {}) {
    super(message, options);
    this.file = options.file;
    this.offset = options.offset;
  }
}

/** Tensors do not fit one another or the config. Exit 1. */
export class ShapeError extends LlameroError {
  /** The name of this class. */
  override name = "ShapeError";
}

/** One backend that was tried and the reason why it is not available. */
export interface TriedBackend {
  /** The backend's name. */
  readonly name: string;
  /** Why it cannot be used. */
  readonly reason: string;
}

/** A backend cannot be opened or lacks what was asked of it. Exit 1. */
export class BackendError extends LlameroError {
  /** The name of this class. */
  override name = "BackendError";
  /** What was tried, in order. */
  readonly tried: readonly TriedBackend[];

  /** Makes an error that lists what was tried. */
  constructor(
    message: string,
    options: LlameroErrorOptions & { readonly tried?: readonly TriedBackend[] } = {},
  ) {
    super(message, options);
    this.tried = options.tried ?? [];
  }
}

/** A kernel refused its arguments or failed. Exit 1. */
export class KernelError extends LlameroError {
  /** The name of this class. */
  override name = "KernelError";
}

/** What a {@linkcode CommunicationError} may carry besides its message. */
export interface CommunicationErrorOptions extends LlameroErrorOptions {
  /** The rank that is at fault, where one is. */
  readonly rank?: number | undefined;
}

/** Ranks cannot go on together: one failed, ended, kept silent or called something else. Exit 1. */
export class CommunicationError extends LlameroError {
  /** The name of this class. */
  override name = "CommunicationError";
  /** The rank that is at fault, where one is. */
  readonly rank: number | undefined;

  /** Makes an error whose message names the rank too. */
  constructor(message: string, options: CommunicationErrorOptions = {}) {
    super(message, options);
    this.rank = options.rank;
  }
}

/** The user interrupted the work; the state was saved first where there is state. Exit 130. */
export class Interrupted extends LlameroError {
  /** The name of this class. */
  override name = "Interrupted";
  /** The exit code that the command line ends with. */
  override readonly exitCode: number = 130;
}

/** Wraps what was thrown so that it is an `Error`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
