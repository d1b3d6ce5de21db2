/**
 * What a command sees of the process: streams, environment, interruption. Commands never touch
 * `Deno.stdout`, `Deno.env` or `Deno.exit` themselves, so that tests run them in memory.
 *
 * @module
 */

import type { StartAgain } from "./supervisor.ts";

/** The reader of our output has gone; the command ends quietly with exit code 0. */
export class ClosedPipe extends Error {
  /** The name of this class. */
  override name = "ClosedPipe";
}

/** A stream that text and bytes are written to, at once and in order. */
export interface Output {
  /** Whether a person looks at it. */
  readonly terminal: boolean;
  /** Whether colours may be used. */
  readonly color: boolean;
  /** Width in columns, or `undefined` where it is no terminal. */
  columns(): number | undefined;
  /** Writes all of it. @throws {ClosedPipe} When the reader has gone. */
  write(data: string | Uint8Array): void;
}

/** A stream that nobody sees. */
export const NOWHERE: Output = {
  terminal: false,
  color: false,
  columns: () => undefined,
  write: () => {},
};

/** The stream that a command reads from. */
export interface Input {
  /** Whether a person types into it. */
  readonly terminal: boolean;
  /** The bytes as they come; to be read once. */
  readable(): ReadableStream<Uint8Array>;
}

/** What a command sees of the process. */
export interface Io {
  /** Results. */
  readonly stdout: Output;
  /** Progress, notes, warnings and errors. */
  readonly stderr: Output;
  /** Input of commands that read `-` or nothing. */
  readonly stdin: Input;
  /** An environment variable; `undefined` where it is unset or empty. */
  env(name: string): string | undefined;
  /** A signal that the first SIGINT or SIGTERM aborts with `Interrupted`; the second one ends the
   * process. Without this call an interrupt ends the process at once. */
  interruption(): AbortSignal;
  /** Starts this program again in a child process; absent where there is no program or no permission. */
  readonly startAgain?: StartAgain | undefined;
}

/** Writes one JSON value and a line end; typed arrays become arrays. */
export function writeJson(output: Output, value: unknown): void {
  const plain = (_key: string, item: unknown): unknown =>
    ArrayBuffer.isView(item) && !(item instanceof DataView)
      ? Array.from(
        item as unknown as ArrayLike<number | bigint>,
        (x) => typeof x === "bigint" ? Number(x) : x,
      )
      : typeof item === "bigint"
      ? Number(item)
      : item;
  output.write(JSON.stringify(value, plain) + "\n");
}
