/**
 * The residual stream, whole or shared by rows between tensor ranks: how a block's halves read it, add
 * to it, and come by its gradient.
 *
 * @module
 */

import type { Address } from "../../backend/backend.ts";
import { normalize } from "../blocks.ts";
import type { TrainedWeight } from "./linear.ts";
import type { BlocksRun, BlocksSetup } from "./block_run.ts";
import type { DropoutSite } from "./dropout.ts";
import type { TrainedNorm } from "./parameters.ts";
import type { Piece, RowExchange, RowRange } from "./row_exchange.ts";

/** The rows of the stream that are here. */
export function ownRange({ exchange, batch }: Pick<BlocksRun, "exchange" | "batch">): RowRange {
  return exchange?.own(batch.rows) ?? { first: 0, rows: batch.rows };
}

/** Norm of the rows that are here. */
export function normalizeOwn(
  run: BlocksRun,
  { out, x, norm }: { readonly out: Address; readonly x: Address; readonly norm: TrainedNorm },
): void {
  normalize(run, { out, x, weight: norm.weight, rows: ownRange(run).rows });
}

/** Rows that all ranks need, and what is done with them. */
export interface AllRows {
  /** Where own rows are. */
  readonly from: Address;
  /** Where all of them are brought to. */
  readonly to: Address;
  /** Works on some rows of x [T, D]. */
  readonly use: (x_TD: Address, range: RowRange) => void;
}

/**
 * Hands over all rows of a norm's result, own ones first: they are worked on while the others are on
 * their way.
 */
export function withAllRows(
  { exchange, batch }: Pick<BlocksRun, "exchange" | "batch">,
  { from, to, use }: AllRows,
): void {
  const { rows } = batch;
  if (exchange === undefined) return use(from, { first: 0, rows });
  const pieces = piecesOf(exchange, rows);
  const coming = pieces.map((piece) => exchange.startGather({ from, to, rows, piece }));
  const own = exchange.own(rows);
  if (own.rows > 0) use(to, own);
  coming.forEach((gathered, index) => {
    gathered.finish();
    const others = { ...pieces[index]!, others: true };
    for (const range of exchange.rangesOf(rows, others)) use(to, range);
  });
}

function piecesOf(exchange: RowExchange, rows: number): readonly Piece[] {
  const of = exchange.pieces(rows);
  return Array.from({ length: of }, (_, index) => ({ index, of }));
}

/**
 * branch = sum over tensor ranks of what `make` writes to their partial sums, some rows at a time: one
 * piece travels while the next is made.
 */
function sumToBranch(run: BlocksRun, make: (range: RowRange) => void): void {
  const { exchange, batch: { rows }, working: { partial_TD: from, branch_TD: to } } = run;
  const coming = piecesOf(exchange!, rows).map((piece) => {
    for (const range of exchange!.rangesOf(rows, piece)) make(range);
    return exchange!.startSum({ from, to, rows, piece });
  });
  for (const sum of coming) sum.finish();
}

/** What a half of a block adds to the residual stream. */
export interface HalfArguments {
  /** Which of the two, of which layer. */
  readonly site: DropoutSite;
  /** The stream with it; may be `stream`. */
  readonly out: Address;
  /** The stream without it. */
  readonly stream: Address;
  /** Last weight of the half. */
  readonly weight: TrainedWeight;
  /** What it multiplies [T, in]. */
  readonly x: Address;
}

/** out = stream + dropout(x W^T). */
export function addHalf(run: BlocksRun, half: HalfArguments): void {
  const { backend, products, dropout, exchange, batch: { rows } } = run;
  const { branch_TD, partial_TD } = run.working;
  const { site, out, stream, weight, x } = half;
  if (exchange === undefined && dropout === undefined) {
    if (out !== stream) backend.copy(out, stream, 4 * rows * run.config.hiddenSize);
    products.forward(weight, { out, x, rows, accumulate: true });
    return;
  }
  if (exchange === undefined) products.forward(weight, { out: branch_TD, x, rows });
  else {
    sumToBranch(run, ({ first, rows }) => {
      const out = partial_TD + 4 * first * weight.outDim;
      products.forward(weight, { out, x: x + 4 * first * weight.inDim, rows });
    });
  }
  dropout?.apply(site, { x: branch_TD, ...ownRange(run) });
  addBranch(run, half);
}

/** out = stream + branch, on the rows that are here. */
function addBranch(
  run: BlocksRun,
  { out, stream }: Pick<HalfArguments, "out" | "stream">,
): void {
  const { backend, working: { branch_TD }, config: { hiddenSize } } = run;
  const count = ownRange(run).rows * hiddenSize;
  if (out !== stream) backend.copy(out, stream, 4 * count);
  backend.kernels.add({ out, x: branch_TD, count });
}

/**
 * Both halves of a parallel block over tensor ranks: their shares are added before anything is sent,
 * so that one exchange does for both. What is dropped of each is, of every rank's share of it.
 */
export function addBothHalves(run: BlocksRun, halves: readonly HalfArguments[]): void {
  const { backend, products, dropout, working: { partial_TD, masked_TD } } = run;
  sumToBranch(run, ({ first, rows }) => {
    halves.forEach(({ site, weight, x }, index) => {
      const { inDim, outDim } = weight;
      const apart = dropout !== undefined && index > 0;
      const [sum, out] = [partial_TD, apart ? masked_TD : partial_TD].map((address) =>
        address + 4 * first * outDim
      ) as [Address, Address];
      const accumulate = index > 0 && !apart;
      products.forward(weight, { out, x: x + 4 * first * inDim, rows, accumulate });
      dropout?.apply(site, { x: out, rows, first });
      if (apart) backend.kernels.add({ out: sum, x: out, count: rows * outDim });
    });
  });
  addBranch(run, halves[0]!);
}

/**
 * Gradient of what a half has added, all rows: that of the stream, less what was dropped. In a serial
 * block it takes the place of the gathered rows, and is asked for once.
 */
export function branchGradient(run: BlocksRun, site: DropoutSite): Address {
  const { backend, dropout, exchange, batch: { rows }, config } = run;
  const { dhidden_TD, branch_TD, dgathered_TD, masked_TD } = run.working;
  const [from, to] = exchange === undefined
    ? [dhidden_TD, branch_TD]
    : [dgathered_TD, config.parallelBlock ? masked_TD : dgathered_TD];
  if (dropout === undefined) return from;
  if (to !== from) backend.copy(to, from, 4 * rows * config.hiddenSize);
  dropout.apply(site, { x: to, rows });
  return to;
}

/** Makes all rows of the gradient of the stream those that this rank needs. */
export function gatherGradient({ exchange, working, batch: { rows } }: BlocksRun): void {
  exchange?.finishGradient({ from: working.dhidden_TD, to: working.dgathered_TD, rows });
}

/** Sends own rows of the gradient of the stream off. */
export function sendGradient({ exchange, working, batch: { rows } }: BlocksRun): void {
  exchange?.startGradient({ from: working.dhidden_TD, to: working.dgathered_TD, rows });
}

/** What {@linkcode normBackward} reads and adds to. */
export interface NormBackwardArguments {
  /** Gradient of the input [rows, D], added to. */
  readonly dx: Address;
  /** Gradient of the result [rows, D]. */
  readonly dy: Address;
  /** Input [rows, D]. */
  readonly x: Address;
  /** Scale and its gradient, which is added to. */
  readonly norm: TrainedNorm;
  /** How many rows all three have. */
  readonly rows: number;
}

/** Backward of RMSNorm, or of LayerNorm with a scale alone, as the config has it. */
export function normBackward(
  run: Pick<BlocksSetup, "backend" | "config">,
  { dx, dy, x, norm, rows }: NormBackwardArguments,
): void {
  const { hiddenSize: dim, norm: kind, normEps: eps } = run.config;
  const { kernels } = run.backend;
  const args = { dx, dweight: norm.gradient, dy, x, weight: norm.weight, rows, dim, eps };
  if (kind === "rms") kernels.rms_norm_backward(args);
  else kernels.layer_norm_backward({ ...args, dbias: 0 });
}
