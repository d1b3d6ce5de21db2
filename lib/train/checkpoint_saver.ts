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
  #failure: unknown;

  /** Begins to write a snapshot, whose arrays go to the worker; the one before must be finished. */
  save(snapshot: Snapshot): void {
    if (this.#saving !== undefined) throw new TypeError("a checkpoint is being written");
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
    // It is awaited later; until then `check` tells.
    saving.catch((thrown) => this.#failure = thrown);
    this.#saving = saving;
    const arrays = snapshot.shards.flatMap(({ tensors }) =>
      tensors.flatMap(({ values }) => values === undefined ? [] : [values.buffer])
    );
    worker.postMessage(snapshot, arrays);
  }

  /** Waits for what is being written. @throws {LlameroError} Where it could not be. */
  async finish(): Promise<void> {
    const saving = this.#saving;
    this.#saving = undefined;
    await saving;
  }

  /**
   * Waits after a failure, so that it loses no checkpoint; where others write it too, who may be no
   * more, only so long.
   */
  async settle({ atMostMs }: { readonly atMostMs: number }): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const enough = new Promise<void>((resolve) => timer = setTimeout(resolve, atMostMs));
    await Promise.race([this.finish().catch(() => {}), enough]);
    clearTimeout(timer);
  }

  /** Throws where what was being written is known to have failed. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends the worker; what is being written stays under its temporary name. */
  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
