/**
 * Memory that kernels take for themselves while they train: a context has one block of it, as large as
 * its most demanding kernel has ever wanted, besides what the arenas plan.
 *
 * @module
 */

import type { ModelConfig } from "../config.ts";

/** What the kernels' memory depends on. */
export interface ScratchOptions {
  /** Rows of a micro-batch. */
  readonly rows: number;
  /** Tokens of the longest sequence. */
  readonly seqLen: number;
  /** Threads of the context. */
  readonly threads: number;
}

/** Queries and keys of a tile of attention (`kernels/cpu/src/ops/training/attention/product.rs`). */
const [QUERIES, KEYS] = [96, 48];
/** The widest vector, in floats: rows of a head are padded to it. */
const LANES = 16;
/** Lines of either operand of a product that a thread keeps packed, and their depth (`ops/gemm/steps.rs`). */
const [PACKED_LINES, PACKED_DEPTH] = [1152, 384];
/** Up to here a context takes the next power of two (`context.rs`). */
const GENEROUS_BYTES = 2 ** 24;

const roundUp = (count: number, to: number) => Math.ceil(count / to) * to;

/**
 * Floats of attention's backward pass: gradients of keys and values of a document for every thread, its
 * tiles, and where query heads share a kv head those of all query heads [T, H, E] twice.
 */
function attentionFloats(
  { numAttentionHeads: H, numKeyValueHeads: K, headDim: E }: ModelConfig,
  { rows, seqLen, threads }: ScratchOptions,
): number {
  const width = roundUp(E, LANES);
  const document = 2 * roundUp(Math.min(rows, seqLen), KEYS) * width;
  const tiles = (3 * QUERIES + 2 * KEYS) * width + 3 * E * QUERIES + 2 * KEYS * QUERIES;
  const shared = H > K ? 2 * rows * H * E : 0;
  return threads * (document + tiles) + shared;
}

/** Bytes of the kernels' own memory in training: attention's backward pass or a product's packed blocks. */
export function trainingScratchBytes(config: ModelConfig, options: ScratchOptions): number {
  const { hiddenSize, intermediateSize, vocabSize } = config;
  const { rows, threads } = options;
  const lines = (count: number) => Math.min(PACKED_LINES, count);
  const widest = Math.max(hiddenSize, intermediateSize, vocabSize);
  const packed = threads * (lines(rows) + lines(widest)) * PACKED_DEPTH;
  const bytes = 4 * Math.max(attentionFloats(config, options), packed);
  return bytes < GENEROUS_BYTES ? 2 ** Math.ceil(Math.log2(bytes)) : bytes;
}
