/**
 * Outputs that are being written: what must go when the process is told to stop.
 *
 * @module
 */

/** An output under a temporary name. */
export interface Unfinished {
  /** Removes what was written; does nothing once the output has its name. */
  discard(): void;
}

const open = new Set<Unfinished>();

/** Remembers an output until it is forgotten. */
export function remember(output: Unfinished): void {
  open.add(output);
}

/** Forgets an output that has its name or is gone; `false` where it was forgotten before. */
export function forget(output: Unfinished): boolean {
  return open.delete(output);
}

/** Whether an output is still being written. */
export function isUnfinished(output: Unfinished): boolean {
  return open.has(output);
}

/** Removes every output not yet finished: what a signal handler calls before it ends the process. */
export function discardUnfinished(): void {
  // The newest first: files go before the folder that they are in.
  for (const output of [...open].reverse()) output.discard();
}
