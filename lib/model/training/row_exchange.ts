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
 * adding. Gradients of norms, 4 D each, go round once a block. In bf16 what is gathered
 * goes as the products that read it will round it, which is half the bytes of f32 and the same bits;
 * sums stay f32.
 *
 * A batch's rows are cut as evenly as can be, whatever sequences they belong to: lengths need not
 * divide. Partial sums are added in the order of `lib/comm/tree_sum.ts`.
 *
 * @module
 */

import { DTYPE_CODES } from "../../../kernels/abi.ts";
import type { Address, Backend } from "../../backend/backend.ts";
import type { Communicator } from "../../comm/communicator.ts";
import type { DeviceRanks } from "../../comm/device/ranks.ts";
import { evenParts, type Part } from "../../comm/parts.ts";
import { DeviceRows, type TensorGpus } from "./device_rows.ts";
import { type CarriedPlace, HostRows, type OnItsWay, type RowCarrier } from "./row_carrier.ts";

export type { OnItsWay } from "./row_carrier.ts";

/** Rows that follow one another. */
export interface RowRange {
  /** Index of the first, from 0. */
  readonly first: number;
  /** How many. */
  readonly rows: number;
}

/** What is exchanged. */
export interface RowsExchanged {
  /** Where it is read. */
  readonly from: Address;
  /** Where it is written. */
  readonly to: Address;
  /** Rows of the batch. */
  readonly rows: number;
  /** Some rows of every rank's; all without. */
  readonly piece?: Piece | undefined;
}

/** One of several pieces of a batch, each with a share of every rank's rows. */
export interface Piece {
  /** Which. */
  readonly index: number;
  /** Of how many. */
  readonly of: number;
}

const ALL: Piece = { index: 0, of: 1 };

/** A rank's share of a piece is at least so large: smaller messages, and products, cost more than they hide. */
const LEAST_PIECE = { bytes: 1 << 17, rows: 64 } as const;
/** With so many pieces a quarter of an exchange stays exposed at most. */
const MOST_PIECES = 4;

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
  /** Where rows are rounded to bf16 [T, width], if that is what products do with them; or 0. */
  readonly halves: Address;
  /** The same for the gradient of the stream, where GPUs are connected; or 0. */
  readonly gradientHalves: Address;
  /** Elements of keys' and values' gradients that several ranks add up. */
  readonly keyValues: number;
  /** The ranks' GPUs, where they are connected. */
  readonly gpus?: DeviceRanks | undefined;
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
  /** The GPUs of both, where they are connected. */
  readonly gpus: TensorGpus | undefined;
  readonly #backend: Backend;
  readonly #options: RowExchangeOptions;
  readonly #carrier: RowCarrier;
  #gradient: OnItsWay | undefined;

  /** Splits off the ranks that have the same key and value heads; every tensor rank calls this. */
  constructor(backend: Backend, options: RowExchangeOptions) {
    const { ranks, copies, width, maxRows } = options;
    this.ranks = ranks;
    const color = Math.floor(ranks.rank / copies);
    const name = "kv copies";
    this.copies = copies === ranks.size ? ranks : ranks.split({ color, name });
    this.#backend = backend;
    this.#options = options;
    this.gpus = options.gpus && gpusOf(options.gpus, { copies, color, name });
    const ownRows = mostOwnRows(maxRows, ranks.size);
    this.#carrier = this.gpus === undefined
      ? new HostRows(backend, { ranks, copies: this.copies, bytes: 4 * maxRows * width })
      : new DeviceRows(this.gpus, { ...options, ranks: ranks.size, ownRows });
  }

  /** Gives back what is not the backend's plan's. */
  close(): void {
    if (this.gpus !== undefined && this.gpus.copies !== this.gpus.ranks) this.gpus.copies.close();
  }

  /** The rows of a batch that are this rank's. */
  own(rows: number): RowRange {
    const { start, end } = evenParts(rows, this.ranks.size)[this.ranks.rank]!;
    return { first: start, rows: end - start };
  }

  /**
   * How many pieces an exchange in the forward pass is cut into, so that products of one go on while
   * another travels (as async tensor parallelism): by shape alone, the same on all ranks.
   */
  pieces(rows: number): number {
    const own = Math.floor(rows / this.ranks.size);
    const fit = Math.min(
      own / LEAST_PIECE.rows,
      4 * own * this.#options.width / LEAST_PIECE.bytes,
    );
    return Math.max(1, Math.min(MOST_PIECES, Math.floor(fit)));
  }

  /** The rows of a piece, of all ranks or of the others alone, neighbours together. */
  rangesOf(rows: number, piece: Piece & { readonly others?: boolean }): RowRange[] {
    const { others = false } = piece;
    const merged: { first: number; rows: number }[] = [];
    this.#parts(rows, piece).forEach(({ start, end }, rank) => {
      if (start === end || (others && rank === this.ranks.rank)) return;
      const last = merged.at(-1);
      if (last !== undefined && last.first + last.rows === start) last.rows += end - start;
      else merged.push({ first: start, rows: end - start });
    });
    return merged;
  }

  #parts(rows: number, { index, of }: Piece): Part[] {
    return evenParts(rows, this.ranks.size).map(({ start, end }) => {
      const part = evenParts(end - start, of)[index]!;
      return { start: start + part.start, end: start + part.end };
    });
  }

  /** Starts to gather all rows in `to` from everybody's own ones in `from`; own ones are there at once. */
  startGather(exchanged: RowsExchanged): OnItsWay {
    return this.#gather(exchanged, { gradient: false });
  }

  /**
   * Starts to gather the gradient of the stream: its rows are read by the half of a block that comes
   * next, so that what is left of the one before is computed meanwhile.
   */
  startGradient(exchanged: RowsExchanged): void {
    this.#gradient = this.#gather(exchanged, { gradient: true });
  }

  /** Waits for all rows of the gradient of the stream; starts to gather them if nobody has. */
  finishGradient(exchanged: RowsExchanged): void {
    if (this.#gradient === undefined) this.startGradient(exchanged);
    this.#gradient!.finish();
    this.#gradient = undefined;
  }

  #gather(exchanged: RowsExchanged, { gradient }: { readonly gradient: boolean }): OnItsWay {
    const { from, to, rows } = exchanged;
    const { width } = this.#options;
    const halves = this.#halvesFor(gradient);
    const halved = halves !== 0;
    const { parts, begin } = this.#cut(exchanged);
    const rowBytes = 4 * width;
    const own = parts[this.ranks.rank]!;
    const mine = from + rowBytes * (own.start - this.own(rows).first);
    if (halved) this.#convert("narrow", { at: mine, halves, ...own });
    this.#backend.copy(to + rowBytes * own.start, mine, rowBytes * (own.end - own.start));
    const place = ({ start, end }: Part): CarriedPlace => (
      halved
        ? { at: halves + 2 * width * start, bytes: 2 * width * (end - start) }
        : { at: to + rowBytes * start, bytes: rowBytes * (end - start) }
    );
    const coming = this.#carrier.gather({
      own: halved ? place(own) : { ...place(own), at: mine },
      places: parts.map(place),
      gradient,
      begin: (halved ? 2 : 4) * width * begin,
    });
    return {
      finish: () => {
        coming.finish();
        if (!halved) return;
        parts.forEach((part, rank) => {
          if (rank === this.ranks.rank) return;
          this.#convert("widen", { at: to + rowBytes * part.start, halves, ...part });
        });
      },
    };
  }

  /** Where rows are rounded; what arrives at any time has a place of its own for either gathering. */
  #halvesFor(gradient: boolean): Address {
    const { halves, gradientHalves } = this.#options;
    return gradient && this.#carrier.direct ? gradientHalves : halves;
  }

  /** Rows of f32 at an address to their place among the halves, or back. */
  #convert(
    way: "narrow" | "widen",
    { at, halves: first, start, end }: Part & { readonly at: Address; readonly halves: Address },
  ): void {
    const { width: dim } = this.#options;
    const halves = first + 2 * dim * start;
    const { f32, bf16 } = DTYPE_CODES;
    const shape = { rows: end - start, dim };
    if (shape.rows === 0) return;
    this.#backend.kernels.convert(
      way === "narrow"
        ? { out: halves, x: at, out_dtype: bf16, x_dtype: f32, ...shape }
        : { out: at, x: halves, out_dtype: f32, x_dtype: bf16, ...shape },
    );
  }

  /** Starts to add everybody's rows in `from`; own rows of the sum go to `to`. */
  startSum(exchanged: RowsExchanged): OnItsWay {
    const { from, to, rows } = exchanged;
    const { parts, begin } = this.#cut(exchanged);
    const rowBytes = 4 * this.#options.width;
    const place = parts[this.ranks.rank]!.start - this.own(rows).first;
    return this.#carrier.sum({
      parts: parts.map(({ start, end }) => (
        { at: from + rowBytes * start, bytes: rowBytes * (end - start) }
      )),
      into: to + rowBytes * place,
      begin: rowBytes * begin,
    });
  }

  /** The rows of a piece by ranks, and how many rows earlier pieces have. */
  #cut(
    { rows, piece = ALL }: RowsExchanged,
  ): { readonly parts: readonly Part[]; readonly begin: number } {
    let begin = 0;
    for (let index = 0; index < piece.index; index++) {
      for (const { start, end } of this.#parts(rows, { index, of: piece.of })) begin += end - start;
    }
    return { parts: this.#parts(rows, piece), begin };
  }

  /** Starts to add up short vectors in the backend's memory over all ranks, in place. */
  startShortTotal(vector: { readonly at: Address; readonly count: number }): OnItsWay {
    return this.#carrier.totalShort(vector);
  }

  /** Starts to add up gradients of keys and values over the ranks that have the same, in place. */
  startTotal(vector: { readonly at: Address; readonly count: number }): OnItsWay {
    return this.#carrier.totalOfCopies(vector);
  }
}

/** The GPUs of tensor ranks, and of those among them that have the same key and value heads. */
function gpusOf(
  ranks: DeviceRanks,
  { copies, color, name }: {
    readonly copies: number;
    readonly color: number;
    readonly name: string;
  },
): TensorGpus {
  if (copies === ranks.size) return { ranks, copies: ranks };
  const members = Array.from({ length: copies }, (_, index) => color * copies + index);
  return { ranks, copies: ranks.among(members, { name }) };
}
