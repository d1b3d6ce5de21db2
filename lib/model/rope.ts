/**
 * Rotary positions: frequencies and angle tables in double precision.
 *
 * A table row holds (cos, sin) of `position * frequency[i]` for every pair i of a head. Angles are
 * products in double precision: in single precision position 10,000 is off by 4e-4 in the logits.
 * Source: Su et al. 2021, eq. 15 and 34; Llama 3.1's scaling from its published code; linear
 * interpolation: Chen et al. 2023.
 *
 * @module
 */

import type { RopeLayout } from "../tensor/ops.ts";
import type { ModelConfig } from "./config.ts";

/** The fields of a config that decide the angles. */
export type RopeConfig = Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">;

export type { RopeLayout } from "../tensor/ops.ts";

/**
 * Codes of the layouts in the `rope` kernel: `half` pairs (i, i + headDim/2), as Hugging Face weights
 * want it; `interleaved` pairs (2i, 2i + 1), as Meta, llama2.c and GGUF weights do.
 */
export const ROPE_LAYOUT_CODES: Readonly<Record<RopeLayout, number>> = { half: 0, interleaved: 1 };

/** Frequencies `theta^(-2i/headDim)` for i < headDim/2, scaled as the config says, in radians. */
export function ropeFrequencies(config: RopeConfig): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  const frequencies = new Float64Array(headDim / 2);
  for (let i = 0; i < frequencies.length; i++) {
    frequencies[i] = ropeTheta ** (-(2 * i) / headDim);
  }
  if (ropeScaling === undefined) return frequencies;
  const { factor } = ropeScaling;
  if (ropeScaling.type === "linear") return frequencies.map((frequency) => frequency / factor);
  const { lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = ropeScaling;
  return frequencies.map((frequency) => {
    const turns = originalMaxPositionEmbeddings / (2 * Math.PI / frequency);
    if (turns > highFreqFactor) return frequency;
    if (turns < lowFreqFactor) return frequency / factor;
    const kept = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return (1 - kept) * (frequency / factor) + kept * frequency;
  });
}

/** Writes the table rows [positions, headDim/2, 2] of (cos, sin), rounded once to single precision. */
export function fillRopeTable(
  table: Float32Array,
  positions: ArrayLike<number>,
  options: { readonly frequencies: Float64Array },
): void {
  const { frequencies } = options;
  let at = 0;
  for (let row = 0; row < positions.length; row++) {
    const position = positions[row]!;
    for (const frequency of frequencies) {
      const angle = position * frequency;
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  }
}
