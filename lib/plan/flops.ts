/**
 * Floating-point operations of training, and the share of a machine's that they are: PaLM's model
 * FLOPs utilization.
 *
 * @module
 */

import type { ModelConfig } from "../model/config.ts";
import { countParameters } from "../model/parameters.ts";

/** Operations per token of one training step, forward and backward. */
export interface TokenFlops {
  /** `6 N`, N the parameters of matrices that tokens are multiplied by. */
  readonly matrices: number;
  /** `12 L H Q T`: scores and their use, no causal discount. */
  readonly attention: number;
  /** Both. */
  readonly total: number;
}

/** Parameters that every token is multiplied by: all matrices but an embedding that only looks up. */
export function matrixParameters(config: ModelConfig): number {
  const { total, byRole, embedding } = countParameters(config);
  const norms = byRole.attention_norm + byRole.feed_forward_norm + byRole.final_norm;
  return total - norms - (config.tieWordEmbeddings ? 0 : embedding);
}

/**
 * Operations per token: `6 N + 12 L H Q T` (Chowdhery et al. 2022, appendix B), recomputation not
 * counted.
 */
export function flopsPerToken(config: ModelConfig, seqLen: number): TokenFlops {
  const { numHiddenLayers, numAttentionHeads, headDim } = config;
  const matrices = 6 * matrixParameters(config);
  const attention = 12 * numHiddenLayers * numAttentionHeads * headDim * seqLen;
  return { matrices, attention, total: matrices + attention };
}

/** What a utilization is computed from. */
export interface Throughput {
  /** Tokens per second of all devices. */
  readonly tokensPerSecond: number;
  /** Peak operations per second of all devices. */
  readonly peakFlops: number;
  /** Tokens of a sequence. */
  readonly seqLen: number;
}

/**
 * Model FLOPs utilization: tokens per second over those that the peak allows,
 * `tokens/s (6 N + 12 L H Q T) / P` (Chowdhery et al. 2022, appendix B).
 */
export function modelFlopsUtilization(config: ModelConfig, throughput: Throughput): number {
  const { tokensPerSecond, peakFlops, seqLen } = throughput;
  return (tokensPerSecond * flopsPerToken(config, seqLen).total) / peakFlops;
}
