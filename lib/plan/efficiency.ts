/**
 * How fast chips are in practice: one set of constants for each, whatever the model or the run.
 *
 * Of a chip's constants one is fitted, `sustained`; the others are of the maker or were measured by
 * others with small programs, not taken from any training run:
 *
 * - matmul: the largest rate of a product that was measured (Bekman, "Machine Learning Engineering", table
 *   of maximum achievable matmul FLOPS: A100 SXM 271.2 of 312, H100 SXM 794.5 of 989, H200 the same), times
 *   what a shape loses where its tiles do not fill the last round of multiprocessors.
 * - links: 8 GPUs with `nccl-tests` in the same book: A100 234.9 of 300 GB/s, H200 361-367 of 450 (rings);
 *   latency from the small sizes of these tables; the network's share its rule of 80 to 90%.
 * - attention: causal at 2k to 8k tokens, rounded from what FlashAttention-2 (Dao 2023, arXiv:2307.08691,
 *   figures 4 to 6) shows for the A100, and -2 and -3 (Shah et al. 2024) for the H100; a tenth more or less
 *   changes the runs below by 1% at most.
 * - memory, launch: rounded shares of what copying kernels reach (a tenth of it is 1.2% at most), and the
 *   usual gap between kernels.
 * - Of TPU v4 nothing of this was measured in public: products have all that the maker says, memory and
 *   attention the GPUs' shares, links nine tenths (with all of it a step is 1% shorter), and `sustained` has
 *   the rest.
 *
 * `sustained` is what a product in the middle of a long run reaches of one that is measured alone: clocks
 * that fall under power, links that take memory and multiprocessors from the products beside them, gaps
 * between kernels, the slowest of thousands. It is fitted to the runs in `fits`, by least squares of the
 * relative error, and one number has to do for all of them.
 *
 * @module
 */

import type { ChipName } from "./hardware.ts";

/** What a chip reaches. */
export interface Efficiency {
  /** Largest measured share of the peak in a product of matrices. */
  readonly matmul: number;
  /** Share of that which products reach within a long run: the one fitted constant. */
  readonly sustained: number;
  /** Published runs that `sustained` is fitted to. */
  readonly fits: readonly string[];
  /** Multiprocessors that tiles of a product are dealt out to. */
  readonly processors: number;
  /** Rows and columns of a tile. */
  readonly tile: readonly [number, number];
  /** Share of the peak that attention reaches forward, of the operations under the diagonal. */
  readonly attentionForward: number;
  /** The same backward. */
  readonly attentionBackward: number;
  /** Share of the memory's bandwidth. */
  readonly memory: number;
  /** Seconds from one kernel to the next. */
  readonly launch: number;
  /** Share of a node's links. */
  readonly node: number;
  /** Seconds that a collective within a node takes besides. */
  readonly nodeLatency: number;
  /** Share of the network. */
  readonly network: number;
  /** Seconds that a message between nodes takes besides; a ring passes one per node. */
  readonly networkLatency: number;
}

const A100: Efficiency = {
  matmul: 0.869,
  sustained: 0.725,
  fits: ["llama1-65b", "tinyllama-1.1b"],
  processors: 108,
  tile: [128, 256],
  attentionForward: 0.5,
  attentionBackward: 0.4,
  memory: 0.85,
  launch: 3e-6,
  node: 0.78,
  nodeLatency: 40e-6,
  network: 0.85,
  networkLatency: 5e-6,
};

const H100: Efficiency = {
  ...A100,
  matmul: 0.803,
  sustained: 0.69,
  fits: ["llama3.1-405b"],
  processors: 132,
  attentionForward: 0.5,
  attentionBackward: 0.4,
  node: 0.81,
  nodeLatency: 23e-6,
};

const TPU_V4: Efficiency = {
  ...A100,
  matmul: 1,
  sustained: 0.665,
  fits: ["palm-540b"],
  processors: 8,
  tile: [8, 128],
  launch: 0,
  node: 0.9,
  nodeLatency: 5e-6,
};

const EFFICIENCIES: Readonly<Record<ChipName, Efficiency>> = {
  "a100": A100,
  "h100": H100,
  "tpu-v4": TPU_V4,
};

/** What products, attention and links of a chip reach of its peaks; the module says where each number is from. */
export function efficiencyOf(chip: ChipName): Efficiency {
  return EFFICIENCIES[chip];
}
