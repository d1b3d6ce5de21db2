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
import { evenParts, type Part } from "../../comm/parts.ts";
import { TreeSum } from "../../comm/tree_sum.ts";

/** Rows that follow one another. */
export interface RowRange {
  /** Index of the first, from 0. */
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
  readonly #halves: Address;
  readonly #rows: Float32Array<ArrayBuffer>;
  readonly #gradients: Float32Array<ArrayBuffer>;
  #gradient: OnItsWay | undefined;

  /** Splits off the ranks that have the same key and value heads; every tensor rank calls this. */
  constructor(backend: Backend, options: RowExchangeOptions) {
    const { ranks, copies, width, maxRows } = options;
    this.#halves = options.halves;
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

  /**
   * How many pieces an exchange in the forward pass is cut into, so that products of one go on while
   * another travels (as async tensor parallelism): by shape alone, the same on all ranks.
   */
  pieces(rows: number): number {
    const own = Math.floor(rows / this.ranks.size);
    const fit = Math.min(own / LEAST_PIECE.rows, 4 * own * this.#width / LEAST_PIECE.bytes);
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

  #gather(exchanged: RowsExchanged, staging: Float32Array<ArrayBuffer>): OnItsWay {
    const { from, to, rows } = exchanged;
    const halved = this.#halves !== 0;
    const values = halved ? new Uint16Array(staging.buffer) : staging;
    const { parts, lengths, all } = this.#cut(exchanged, values);
    const rowBytes = 4 * this.#width;
    const own = parts[this.ranks.rank]!;
    const mine = from + rowBytes * (own.start - this.own(rows).first);
    if (halved) this.#convert("narrow", { at: mine, ...own });
    const sent = halved ? this.#halves + 2 * this.#width * own.start : mine;
    this.#backend.download(all.of(this.ranks.rank), sent);
    this.#backend.copy(to + rowBytes * own.start, mine, rowBytes * (own.end - own.start));
    const handle = this.ranks.startAllGather(all.values, { lengths });
    return {
      finish: () => {
        handle.wait();
        parts.forEach((part, rank) => {
          if (rank === this.ranks.rank || part.start === part.end) return;
          const at = to + rowBytes * part.start;
          const come = halved ? this.#halves + 2 * this.#width * part.start : at;
          this.#backend.upload(come, all.of(rank));
          if (halved) this.#convert("widen", { at, ...part });
        });
      },
    };
  }

  /** Rows of f32 at an address to their place among the halves, or back. */
  #convert(way: "narrow" | "widen", { at, start, end }: Part & { readonly at: Address }): void {
    const halves = this.#halves + 2 * this.#width * start;
    const { f32, bf16 } = DTYPE_CODES;
    const shape = { rows: end - start, dim: this.#width };
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
    const { parts, lengths, all } = this.#cut(exchanged, this.#rows);
    const rowBytes = 4 * this.#width;
    parts.forEach(({ start, end }, rank) => {
      if (end > start) this.#backend.download(all.of(rank), from + rowBytes * start);
    });
    const handle = this.ranks.startReduceScatter(all.values, { lengths });
    const place = parts[this.ranks.rank]!.start - this.own(rows).first;
    return {
      finish: () => {
        this.#backend.upload(to + rowBytes * place, handle.wait() as Float32Array<ArrayBuffer>);
      },
    };
  }

  /** The rows of a piece by ranks, and the values that are sent of it, behind those of earlier pieces. */
  #cut<Values extends Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>>(
    { rows, piece = ALL }: RowsExchanged,
    staging: Values,
  ) {
    let begin = 0;
    for (let index = 0; index < piece.index; index++) {
      for (const { start, end } of this.#parts(rows, { index, of: piece.of })) {
        begin += (end - start) * this.#width;
      }
    }
    const parts = this.#parts(rows, piece);
    const lengths = parts.map(({ start, end }) => (end - start) * this.#width);
    const firsts = lengths.map((_, rank) => lengths.slice(0, rank).reduce((a, b) => a + b, 0));
    const slice = (first: number, count: number) =>
      staging.subarray(begin + first, begin + first + count) as Values;
    const values = slice(0, firsts.at(-1)! + lengths.at(-1)!);
    const of = (rank: number) => slice(firsts[rank]!, lengths[rank]!);
    return { parts, lengths, all: { values, of } };
  }

  /**
   * Starts to add up short vectors in the backend's memory over all ranks, in place: whole vectors go
   * round, so that one exchange does, which nobody has to move on before it is waited for.
   */
  startShortTotal({ at, count }: { readonly at: Address; readonly count: number }): OnItsWay {
    const { rank, size } = this.ranks;
    const all = new Float32Array(size * count);
    const of = (from: number) => all.subarray(from * count, (from + 1) * count);
    this.#backend.download(of(rank), at);
    const handle = this.ranks.startAllGather(all);
    return {
      finish: () => {
        handle.wait();
        const tree = new TreeSum("sum");
        for (let from = 0; from < size; from++) tree.add(of(from));
        this.#backend.upload(at, tree.finish() as Float32Array<ArrayBuffer>);
      },
    };
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
