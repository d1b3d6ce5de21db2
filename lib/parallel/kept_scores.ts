/**
 * Scores of a step's micro-batches, kept in the backend's memory until all of the step has been enqueued:
 * reading them at once would have the processor wait for the GPU after every micro-batch.
 *
 * @module
 */

import type { Address, Backend } from "../backend/backend.ts";
import type { TargetScores } from "../model/training/trainable.ts";

/** Bytes of the scores of so many micro-batches. */
export function keptScoresBytes(
  { maxRows, microBatches }: { readonly maxRows: number; readonly microBatches: number },
): number {
  return 2 * 4 * maxRows * microBatches;
}

/** Keeps scores by micro-batch. */
export class KeptScores {
  readonly #backend: Pick<Backend, "alloc" | "free" | "copy" | "download">;
  readonly #maxRows: number;
  #memory: { readonly at: Address; readonly microBatches: number } | undefined;

  /** Reserves nothing yet. */
  constructor(
    backend: Pick<Backend, "alloc" | "free" | "copy" | "download">,
    { maxRows }: { readonly maxRows: number },
  ) {
    this.#backend = backend;
    this.#maxRows = maxRows;
  }

  /** Takes the memory for a step of so many micro-batches. @throws {BackendError} Without memory. */
  begin(microBatches: number): void {
    if ((this.#memory?.microBatches ?? 0) >= microBatches) return;
    this.close();
    const bytes = keptScoresBytes({ maxRows: this.#maxRows, microBatches });
    this.#memory = { at: this.#backend.alloc(bytes), microBatches };
  }

  #place(microBatch: number): { readonly logProb: Address; readonly logZ: Address } {
    const column = 4 * this.#maxRows;
    const logProb = this.#memory!.at + 2 * column * microBatch;
    return { logProb, logZ: logProb + column };
  }

  /** Keeps the scores of a micro-batch from where the head has made them. */
  keep(
    microBatch: number,
    { logProb, logZ, rows }: {
      readonly logProb: Address;
      readonly logZ: Address;
      readonly rows: number;
    },
  ): void {
    const place = this.#place(microBatch);
    this.#backend.copy(place.logProb, logProb, 4 * rows);
    this.#backend.copy(place.logZ, logZ, 4 * rows);
  }

  /** Reads them: waits for what makes them. */
  read(microBatch: number, { rows }: { readonly rows: number }): TargetScores {
    const place = this.#place(microBatch);
    const [logProb, logZ] = [new Float32Array(rows), new Float32Array(rows)];
    this.#backend.download(logProb, place.logProb);
    this.#backend.download(logZ, place.logZ);
    return { logProb, logZ };
  }

  /** Gives the memory back; does nothing the second time. */
  close(): void {
    if (this.#memory !== undefined) this.#backend.free(this.#memory.at);
    this.#memory = undefined;
  }
}
