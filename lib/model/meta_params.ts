/**
 * A config as Meta's `params.json`.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";
import type { Llama3RopeScaling } from "./rope_scaling.ts";
import { feedForwardSize, parseMetaParams } from "./config_meta.ts";

/** How Meta says the feed-forward width: as the numbers of a rule. */
export interface FeedForwardRule {
  /** The width is a multiple of it. */
  readonly multipleOf: number;
  /** What two thirds of 4d are multiplied by, where that is not 1. */
  readonly multiplier?: number;
}

/** Multiples of the published models and smaller ones; with a multiplier they are larger. */
const MULTIPLES = [256, 4096, 1024, 512, 128, 64, 32, 16, 8, 4, 2];
const STRETCHED_MULTIPLES = [4096, 1024, 256];
const MULTIPLIERS = [1.3, 1.2, 1.5];

/** The numbers by which Meta's rule gives a width; every width has some. */
function feedForwardRule(hiddenSize: number, width: number): FeedForwardRule {
  const gives = (rule: FeedForwardRule) => feedForwardSize(hiddenSize, rule) === width;
  const usual: FeedForwardRule[] = [
    ...MULTIPLES.map((multipleOf) => ({ multipleOf })),
    ...MULTIPLIERS.flatMap((multiplier) =>
      STRETCHED_MULTIPLES.map((multipleOf) => ({ multipleOf, multiplier }))
    ),
  ];
  const found = usual.find(gives);
  if (found !== undefined) return found;
  const multipleOf = MULTIPLES.find((multiple) => width % multiple === 0) ?? 1;
  // The rule cuts the product off and rounds it up to a multiple: what lies half a multiple below the
  // width leads to it, and half a unit keeps it away from whole numbers.
  const product = width + 0.5 - Math.floor(multipleOf / 2);
  const multiplier = product / Math.trunc((8 * hiddenSize) / 3);
  const rules = Array.from({ length: 16 }, (_, digits) => ({
    multipleOf,
    multiplier: Number(multiplier.toPrecision(digits + 2)),
  }));
  return rules.find(gives) ?? { multipleOf, multiplier };
}

/**
 * Writes a config as the value of a `params.json`. What the published files leave out (the context,
 * the factor of stretched frequencies) is there only where `parseMetaParams` would take another.
 */
export function toMetaParams(config: ModelConfig): Record<string, unknown> {
  // Meta's code knows no other scaling; that the files do not hold one is for the caller to see.
  const scaling = llama3Scaling(config);
  const { multipleOf, multiplier } = feedForwardRule(config.hiddenSize, config.intermediateSize);
  const params: Record<string, unknown> = {
    dim: config.hiddenSize,
    n_layers: config.numHiddenLayers,
    n_heads: config.numAttentionHeads,
    n_kv_heads: config.numKeyValueHeads,
    vocab_size: config.vocabSize,
    multiple_of: multipleOf,
    ...(multiplier === undefined ? {} : { ffn_dim_multiplier: multiplier }),
    norm_eps: config.normEps,
    rope_theta: config.ropeTheta,
    ...(scaling === undefined ? {} : { use_scaled_rope: true }),
  };
  const read = parseMetaParams(params, { ...config, file: "params.json" });
  if (read.maxPositionEmbeddings !== config.maxPositionEmbeddings) {
    params.max_seq_len = config.maxPositionEmbeddings;
  }
  const usual = llama3Scaling(read);
  if (scaling?.factor !== usual?.factor) params.rope_scaling_factor = scaling?.factor;
  if (scaling?.highFreqFactor !== usual?.highFreqFactor) {
    params.rope_high_freq_factor = scaling?.highFreqFactor;
  }
  return params;
}

function llama3Scaling({ ropeScaling }: ModelConfig): Llama3RopeScaling | undefined {
  return ropeScaling?.type === "llama3" ? ropeScaling : undefined;
}
