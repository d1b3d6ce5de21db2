/**
 * How long kernels take on a chip, from their shapes: products, attention, and what only moves memory.
 *
 * @module
 */

import type { Efficiency } from "./efficiency.ts";
import type { Hardware } from "./hardware.ts";

/** A device with what it reaches. */
export interface Device {
  /** As its maker describes it. */
  readonly hardware: Hardware;
  /** What it reaches. */
  readonly efficiency: Efficiency;
}

/** A product [rows, inner] x [inner, columns]. */
export interface Product {
  /** Rows of the result. */
  readonly rows: number;
  /** Columns of the result. */
  readonly columns: number;
  /** Inner dimension. */
  readonly inner: number;
  /** Bytes of an element of the result that are read and written: 8 where f32 is added to. @default {2} */
  readonly resultBytes?: number;
}

/** Seconds in which a kernel moves so many bytes. */
export function memorySeconds(bytes: number, { hardware, efficiency }: Device): number {
  return efficiency.launch + bytes / (hardware.memoryBandwidth * efficiency.memory);
}

/** Share of the multiprocessors' time that tiles fill: less in the last round, and at the edges. */
function filledShare(rows: number, columns: number, { tile, processors }: Efficiency): number {
  const shares = [tile, [tile[1], tile[0]]].map(([high, wide]) => {
    const tiles = Math.ceil(rows / high!) * Math.ceil(columns / wide!);
    const rounds = Math.ceil(tiles / processors);
    return (rows * columns) / (rounds * processors * high! * wide!);
  });
  return Math.max(...shares);
}

/**
 * Seconds of a product in bf16: its operations at the rate that its shape allows, or its operands' way
 * from memory where that takes longer; and then the result's way to memory, which a tile does when its
 * sums are done, so that shallow products are the slower ones.
 */
export function productSeconds(product: Product, device: Device): number {
  const { rows, columns, inner, resultBytes = 2 } = product;
  const { hardware: { peakFlops, memoryBandwidth }, efficiency } = device;
  const rate = peakFlops * efficiency.matmul * efficiency.sustained *
    filledShare(rows, columns, efficiency);
  const bandwidth = memoryBandwidth * efficiency.memory;
  const operands = 2 * inner * (rows + columns) / bandwidth;
  const result = resultBytes * rows * columns / bandwidth;
  return efficiency.launch + Math.max(2 * rows * columns * inner / rate, operands) + result;
}

/** Sequences that attend, causally and in tiles. */
export interface CausalAttention {
  /** Tokens. */
  readonly rows: number;
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Query heads times their size. */
  readonly width: number;
}

/**
 * Seconds of causal attention: 2 products over the lower triangle forward, 5 backward (Dao 2023, section
 * 2.3). Document boundaries are not counted: kernels skip what they mask, papers do not say how much.
 */
export function attentionSeconds(
  pass: "forward" | "backward",
  { rows, seqLen, width }: CausalAttention,
  { hardware: { peakFlops }, efficiency }: Device,
): number {
  const triangle = 2 * rows * width * seqLen / 2;
  const [products, share] = pass === "forward"
    ? [2, efficiency.attentionForward]
    : [5, efficiency.attentionBackward];
  return efficiency.launch + products * triangle / (peakFlops * share);
}
