/**
 * The worker that writes checkpoints: one message is one snapshot, the answer says how it went.
 *
 * @module
 */

import { asError, LlameroError } from "../base/errors.ts";
import { type Snapshot, writeCheckpoint } from "./checkpoint_write.ts";

/** What the worker answers. */
export interface SaveAnswer {
  /** What went wrong, or nothing. */
  readonly failure?: { readonly message: string; readonly hint?: string | undefined };
}

/** The part of a worker's global scope that is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Snapshot>) => void) | null;
  postMessage(answer: SaveAnswer): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = async ({ data }) => {
  try {
    await writeCheckpoint(data);
    scope.postMessage({});
  } catch (thrown) {
    const { message } = asError(thrown);
    const hint = thrown instanceof LlameroError ? thrown.hint : undefined;
    scope.postMessage({ failure: { message, hint } });
  }
};
