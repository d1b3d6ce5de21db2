/**
 * Sequence parallelism: the rows of the residual stream are cut over the tensor ranks, so that norms,
 * dropout and additions are shared out too. Before a product that is cut by its outputs every rank
 * gathers all rows; after one that is cut by its inputs the ranks' partial sums are added, and each
 * keeps its own rows. Source: Korthikanti et al. 2022 (arXiv:2205.05198), section 4.2.2, figures 5, 6.
 *
 * With N ranks and a stream of B bytes a gathering and an adding send B (N-1)/N from every rank. A block
 * has two of each forward (one of each where its halves are parallel), as many backward, and in the
 * backward one gathering more for each norm, whose result is kept by own rows alone (section 4.2.2:
 * "an extra all-gather"); `full` recomputation has those of the forward again instead, less the last
 * adding.
 *
 * A batch's rows are cut as evenly as can be, whatever sequences they belong to: lengths need not
 * divide. Partial sums are added in the order of `lib/comm/tree_sum.ts`.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { Communicator } from "../../comm/communicator.ts";
import { evenParts } from "../../comm/parts.ts";

/** Rows that follow one another. */
export interface RowRange {
  /** The first. */
  readonly first: number;
  /** How many. */
  readonly rows: number;
}

/** Something that is on its way between ranks. */
export interface OnItsWay {
  /** Waits for it, and puts it where it belongs. @throws {CommunicationError} See `Communicator`. */
  finish(): void;
}

/** What is exchanged. */
export interface RowsExchanged {
  /** Where it is read. */
  readonly from: Address;
  /** Where it is written. */
  readonly to: Address;
  /** Rows of the batch. */
  readonly rows: number;
}

/** How an exchange is made. */
export interface RowExchangeOptions {
  /** The ranks that share every matrix. */
  readonly ranks: Communicator;
  /** How many of them have the same key and value heads. */
  readonly copies: number;
  /** Elements of a row. */
  readonly width: number;
  /** Most rows of a batch. */
  readonly maxRows: number;
}

/** Most rows of the residual stream that one of `size` ranks has. */
export function mostOwnRows(rows: number, size: number): number {
  return Math.ceil(rows / size);
}

/** Bytes outside the backend that an exchange works in: rows on their way, and those of gradients. */
export function exchangeBytes(
  { maxRows, width }: Pick<RowExchangeOptions, "maxRows" | "width">,
): number {
  return 2 * 4 * maxRows * width;
}

/** Exchanges rows of a batch between tensor ranks. */
export class RowExchange {
  /** The ranks that share every matrix. */
  readonly ranks: Communicator;
  /** Those of them that have the same key and value heads as this one. */
  readonly copies: Communicator;
  readonly #backend: Backend;
  readonly #width: number;
  readonly #rows: Float32Array<ArrayBuffer>;
  readonly #gradients: Float32Array<ArrayBuffer>;
  #gradient: OnItsWay | undefined;

  /** Splits off the ranks that have the same key and value heads; every tensor rank calls this. */
  constructor(backend: Backend, { ranks, copies, width, maxRows }: RowExchangeOptions) {
    this.ranks = ranks;
    const color = Math.floor(ranks.rank / copies);
    this.copies = copies === ranks.size ? ranks : ranks.split({ color, name: "kv copies" });
    this.#backend = backend;
    this.#width = width;
    this.#rows = new Float32Array(maxRows * width);
    this.#gradients = new Float32Array(maxRows * width);
  }

  /** The rows of a batch that are this rank's. */
  own(rows: number): RowRange {
    const { start, end } = evenParts(rows, this.ranks.size)[this.ranks.rank]!;
    return { first: start, rows: end - start };
  }

  /** Starts to gather all rows in `to` from everybody's own ones in `from`; own ones are there at once. */
  startGather(exchanged: RowsExchanged): OnItsWay {
    return this.#gather(exchanged, this.#rows);
  }

  /**
   * Starts to gather the gradient of the stream: its rows are read by the half of a block that comes
   * next, so that what is left of the one before is computed meanwhile.
   */
  startGradient(exchanged: RowsExchanged): void {
    this.#gradient = this.#gather(exchanged, this.#gradients);
  }

  /** Waits for all rows of the gradient of the stream; starts to gather them if nobody has. */
  finishGradient(exchanged: RowsExchanged): void {
    if (this.#gradient === undefined) this.startGradient(exchanged);
    this.#gradient!.finish();
    this.#gradient = undefined;
  }

  #gather(
    { from, to, rows }: RowsExchanged,
    staging: Float32Array<ArrayBuffer>,
  ): OnItsWay {
    const width = this.#width;
    const { lengths, all } = this.#cut(rows, staging);
    const own = this.own(rows);
    const [begin, end] = [own.first * width, (own.first + own.rows) * width];
    this.#backend.download(all.subarray(begin, end), from);
    this.#backend.copy(to + 4 * begin, from, 4 * (end - begin));
    const handle = this.ranks.startAllGather(all, { lengths });
    return {
      finish: () => {
        handle.wait();
        if (begin > 0) this.#backend.upload(to, all.subarray(0, begin));
        if (end < all.length) this.#backend.upload(to + 4 * end, all.subarray(end));
      },
    };
  }

  /** Starts to add everybody's rows in `from`; own rows of the sum go to `to`. */
  startSum({ from, to, rows }: RowsExchanged): OnItsWay {
    const { lengths, all } = this.#cut(rows, this.#rows);
    this.#backend.download(all, from);
    const handle = this.ranks.startReduceScatter(all, { lengths });
    return {
      finish: () => this.#backend.upload(to, handle.wait() as Float32Array<ArrayBuffer>),
    };
  }

  #cut(rows: number, staging: Float32Array<ArrayBuffer>) {
    const parts = evenParts(rows, this.ranks.size);
    const lengths = parts.map(({ start, end }) => (end - start) * this.#width);
    return { lengths, all: staging.subarray(0, rows * this.#width) };
  }

  /** Starts to add up vectors in the backend's memory over some ranks, in place. */
  startTotal(over: Communicator, { at, count }: { at: Address; count: number }): OnItsWay {
    const values = new Float32Array(count);
    this.#backend.download(values, at);
    const handle = over.startAllReduce(values);
    return {
      finish: () => {
        handle.wait();
        this.#backend.upload(at, values);
      },
    };
  }
}
