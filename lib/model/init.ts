/**
 * The weights that training starts from, as a pure function of config and seed.
 *
 * Llama: Meta has not published theirs; taken is what GPT-2, Megatron-LM, llama2.c and Hugging Face's
 * `initializer_range` agree on: matrices and embedding N(0, 0.02^2), those that add to the residual
 * stream (attention output and down) N(0, (0.02 / sqrt(2 layers))^2), norms 1. Source: Radford et al.
 * 2019, section 2.3; Shoeybi et al. 2019 (arXiv:1909.08053), section 4.
 *
 * PaLM: kernels N(0, 1 / inputs), embedding N(0, 1), norms 1; the logits' 1/sqrt(hidden size) stands
 * in the config. Source: Chowdhery et al. 2022 (arXiv:2204.02311), section 5.1.
 *
 * @module
 */

import { RandomStream } from "../base/random.ts";
import type { ModelConfig } from "./config.ts";
import { type WeightSpec, weightSpecs } from "./weights.ts";

const STANDARD_DEVIATION = 0.02;

/** Standard deviation that a weight is drawn with; `undefined` for norms, which are 1. */
export function initialDeviation(config: ModelConfig, spec: WeightSpec): number | undefined {
  if (spec.shape.length === 1) return undefined;
  if (config.architecture === "palm") {
    return spec.role === "embedding" ? 1 : 1 / Math.sqrt(spec.shape[1]!);
  }
  const addsToStream = spec.role === "attention.output" || spec.role === "feed_forward.down";
  return addsToStream
    ? STANDARD_DEVIATION / Math.sqrt(2 * config.numHiddenLayers)
    : STANDARD_DEVIATION;
}

/** A weight and its first values. */
export interface InitialWeight {
  /** The weight. */
  readonly spec: WeightSpec;
  /** Its values, in memory that the next weight overwrites. */
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * Yields the first values of every weight in the order of the name table. The numbers of the i-th
 * weight are those of stream i of the seed, so that no weight depends on another's size.
 */
export function* initialWeights(
  config: ModelConfig,
  seed: number,
): Generator<InitialWeight, void, void> {
  let buffer = new Float32Array(0);
  for (const [index, spec] of weightSpecs(config).entries()) {
    const count = spec.shape.reduce((product, extent) => product * extent, 1);
    if (buffer.length < count) buffer = new Float32Array(count);
    const values = buffer.subarray(0, count);
    const deviation = initialDeviation(config, spec);
    if (deviation === undefined) values.fill(1);
    else new RandomStream(seed, index).fillNormal(values, { deviation });
    yield { spec, values };
  }
}
