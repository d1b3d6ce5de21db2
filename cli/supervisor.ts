/**
 * Runs a command line again as a child process, for work that must survive the death of its process:
 * the child does it, and this process only waits, so that nothing the child meets can end both.
 *
 * @module
 */

import type { Io } from "./io.ts";

/** How a child has ended. */
export interface ChildEnd {
  /** Its exit code. */
  readonly code: number;
  /** The signal that ended it, where one did. */
  readonly signal: string | undefined;
}

/** Starts this program again, with its own arguments or others; streams are this process's own. */
export type StartAgain = (
  args: readonly string[] | undefined,
  options: {
    /** Added to the environment. */
    readonly env: Readonly<Record<string, string>>;
    /** Asks the child to end, as this process is asked. */
    readonly signal: AbortSignal;
    /** Ends the child at once, without asking. */
    readonly kill?: AbortSignal | undefined;
  },
) => Promise<ChildEnd>;

/** The environment variable that tells a process that it is a supervised child. */
export const SUPERVISED = "LLAMERO_SUPERVISED";

/** What is supervised. */
export interface Supervised {
  /** The command line of a child after one that was ended; without, that of this process. */
  readonly again: () => readonly string[] | undefined;
  /** How often one that was ended is followed by another. */
  readonly restarts: number;
  /** Asks for the end. */
  readonly signal: AbortSignal;
  /** Is told of the end of a child that is followed by another. */
  readonly onRestart: (end: ChildEnd, count: number) => void;
}

/**
 * Runs a command line in a child, and again where a signal that nobody here sent has ended it: the
 * system's out-of-memory killer, a fault in a library, `kill -9`. A child that ends by itself has said
 * why, and is not followed.
 *
 * @returns The exit code of the last child.
 */
export async function supervise(start: StartAgain, options: Supervised): Promise<number> {
  const { restarts, signal, again, onRestart } = options;
  let args: readonly string[] | undefined;
  for (let count = 1;; count++) {
    const end = await start(args, { env: { [SUPERVISED]: "1" }, signal });
    if (end.signal === undefined || signal.aborted || count > restarts) return end.code;
    onRestart(end, count);
    args = again();
  }
}

/** Whether this process may be a supervisor: it can start children, and is none itself. */
export function canSupervise(io: Pick<Io, "env" | "startAgain">): boolean {
  return io.startAgain !== undefined && io.env(SUPERVISED) === undefined;
}
