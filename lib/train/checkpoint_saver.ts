/**
 * Saves checkpoints beside the training: the run waits for the copy of its state alone, and for the
 * save before, where that is still being written.
 *
 * @module
 */

import { LlameroError } from "../base/errors.ts";
import type { SaveAnswer } from "./checkpoint_worker.ts";
import type { Snapshot } from "./checkpoint_write.ts";

/** Writes one checkpoint at a time in a worker. */
export class CheckpointSaver {
  #worker: Worker | undefined;
  #saving: Promise<void> | undefined;

  /** Whether a checkpoint is being written. */
  get busy(): boolean {
    return this.#saving !== undefined;
  }

  /**
   * Begins to write a snapshot, whose arrays go to the worker; waits for the one before first.
   *
   * @throws {LlameroError} Where the one before could not be written.
   */
  async save(snapshot: Snapshot): Promise<void> {
    await this.finish();
    const worker = this.#worker ??= new Worker(new URL("./checkpoint_worker.ts", import.meta.url), {
      type: "module",
      name: "llamero-save",
    });
    const saving = new Promise<void>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<SaveAnswer>) => {
        const { failure } = data;
        if (failure === undefined) resolve();
        else reject(new LlameroError(failure.message, { hint: failure.hint }));
      };
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new LlameroError(`Cannot save step ${snapshot.step}: ${event.message}`));
      };
    });
    // It is awaited later; until then nobody must complain that it is not.
    saving.catch(() => {});
    this.#saving = saving;
    const arrays = [...snapshot.weights, ...snapshot.moments].map(({ values }) => values.buffer);
    worker.postMessage(snapshot, arrays);
  }

  /** Waits for what is being written. @throws {LlameroError} Where it could not be. */
  async finish(): Promise<void> {
    const saving = this.#saving;
    this.#saving = undefined;
    await saving;
  }

  /** Ends the worker; what is being written stays under its temporary name. */
  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
