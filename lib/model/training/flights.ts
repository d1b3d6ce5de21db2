/**
 * Memory of batches on their way: what each of them keeps between its forward and its backward.
 *
 * A model that is whole has one batch at a time. A stage of a pipeline has several, and lends each the
 * records of its layers, so that the memory is that of the most layers that are ever on their way
 * together, whichever stages and micro-batches they belong to.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import type { BatchPlace, PlacedBatch } from "./batch.ts";
import type { Head } from "./head.ts";
import type { BlockRecord } from "./kept.ts";
import type { DropoutState } from "./trainable.ts";

/** Things that are lent and come back; always the one that has been back the longest. */
export class Lending<T> {
  readonly #free: T[];
  readonly #what: string;

  /** `what` says in an error of what there are too few. */
  constructor(all: Iterable<T>, what: string) {
    this.#free = [...all];
    this.#what = what;
  }

  /** Lends some. @throws {RangeError} When there are too few: more is on its way than was planned. */
  take(count: number): T[] {
    if (count > this.#free.length) {
      throw new RangeError(`${count} ${this.#what} wanted, ${this.#free.length} are free`);
    }
    return this.#free.splice(0, count);
  }

  /** Takes them back. */
  giveBack(lent: readonly T[]): void {
    this.#free.push(...lent);
  }
}

/** A batch that is placed, for all stages of a rank. */
export interface BoardedBatch {
  /** Where it lies. */
  readonly placed: PlacedBatch;
  /** Whose memory that is. */
  readonly place: BatchPlace;
  /** Ids that rows are to predict [T], negative where none counts. */
  readonly targets: Int32Array;
  /** Whether any target counts; without one nothing goes backward. */
  readonly counts: boolean;
  /** What is dropped; nothing without it. */
  readonly dropout: DropoutState | undefined;
}

/** A head, and the hidden states [T, D] that it reads. */
export interface HeadSeat {
  /** The final norm, the output matrix and the loss. */
  readonly head: Head;
  /** Its input, which the last layer writes. */
  readonly hidden_TD: Address;
}

/** A batch in one stage, from its forward until its backward. */
export interface Flight {
  /** The batch. */
  readonly boarded: BoardedBatch;
  /** The stage, of this rank's. */
  readonly stage: number;
  /** What its layers keep. */
  readonly records: readonly BlockRecord[];
  /** Where the head reads; lent where the stage has one. */
  readonly seat: HeadSeat | undefined;
}
