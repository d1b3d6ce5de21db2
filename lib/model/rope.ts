/**
 * Rotary positions: frequencies and angle tables in double precision.
 *
 * A table row holds (cos, sin) of `position * frequency[i]` for every pair i of a head. Angles are
 * products in double precision: in single precision position 10,000 is off by 4e-4 in the logits.
 * Source: Su et al. 2021, eq. 15 and 34; Llama 3.1's scaling from its published code; linear
 * interpolation: Chen et al. 2023; YaRN: Peng et al. 2023; the growing base: /u/emozilla 2023, as
 * Hugging Face's transformers has it.
 *
 * @module
 */

import type { RopeLayout } from "../tensor/ops.ts";
import type { ModelConfig } from "./config.ts";
import type { YarnRopeScaling } from "./rope_scaling.ts";

/** The fields of a config that decide the angles. */
export type RopeConfig = Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">;

export type { RopeLayout } from "../tensor/ops.ts";

/**
 * Codes of the layouts in the `rope` kernel: `half` pairs (i, i + headDim/2), as Hugging Face weights
 * want it; `interleaved` pairs (2i, 2i + 1), as Meta, llama2.c and GGUF weights do.
 */
export const ROPE_LAYOUT_CODES: Readonly<Record<RopeLayout, number>> = { half: 0, interleaved: 1 };

/** What a table of angles is made of. */
export interface RopeAngles {
  /** Radians a position turns each pair by [headDim/2]. */
  readonly frequencies: Float64Array;
  /** What cosines and sines are multiplied by; 1 but for YaRN. @default {1} */
  readonly magnitude?: number;
}

/** The angles of a text that can have `positions` positions; `0` where that decides nothing. */
export function ropeAngles(config: RopeConfig, positions?: number): RopeAngles {
  const { ropeScaling } = config;
  const frequencies = ropeFrequencies(config, positions);
  if (ropeScaling?.type !== "yarn") return { frequencies };
  return { frequencies, magnitude: ropeScaling.attentionFactor };
}

/**
 * Frequencies `theta^(-2i/headDim)` for i < headDim/2, scaled as the config says, in radians. A
 * dynamic scaling looks at the positions that the text can have, so that a token keeps its angle as the
 * text grows; transformers looks at those it has, and both agree on a text of that length.
 */
export function ropeFrequencies(config: RopeConfig, positions = 0): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  if (ropeScaling?.type === "dynamic") {
    const { factor, originalMaxPositionEmbeddings: original } = ropeScaling;
    if (positions <= original) return plainFrequencies(headDim, ropeTheta);
    const growth = factor * positions / original - (factor - 1);
    return plainFrequencies(headDim, ropeTheta * growth ** (headDim / (headDim - 2)));
  }
  const frequencies = plainFrequencies(headDim, ropeTheta);
  if (ropeScaling === undefined) return frequencies;
  const { factor } = ropeScaling;
  if (ropeScaling.type === "linear") return frequencies.map((frequency) => frequency / factor);
  if (ropeScaling.type === "yarn") {
    const { first, last } = yarnBlend(ropeScaling, config);
    return frequencies.map((frequency, i) => {
      const stretched = Math.min(1, Math.max(0, (i - first) / (last - first)));
      return frequency / factor * stretched + frequency * (1 - stretched);
    });
  }
  const { lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = ropeScaling;
  return frequencies.map((frequency) => {
    const turns = originalMaxPositionEmbeddings / (2 * Math.PI / frequency);
    if (turns > highFreqFactor) return frequency;
    if (turns < lowFreqFactor) return frequency / factor;
    const kept = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return (1 - kept) * (frequency / factor) + kept * frequency;
  });
}

function plainFrequencies(headDim: number, theta: number): Float64Array {
  const frequencies = new Float64Array(headDim / 2);
  for (let i = 0; i < frequencies.length; i++) frequencies[i] = theta ** (-(2 * i) / headDim);
  return frequencies;
}

/** Indices of pairs between which YaRN blends: up to the first all is kept, from the last stretched. */
export function yarnBlend(
  { betaFast, betaSlow, originalMaxPositionEmbeddings, truncate }: YarnRopeScaling,
  { headDim, ropeTheta }: RopeConfig,
): { readonly first: number; readonly last: number } {
  const indexAt = (turns: number) =>
    headDim * Math.log(originalMaxPositionEmbeddings / (turns * 2 * Math.PI)) /
    (2 * Math.log(ropeTheta));
  const [low, high] = [indexAt(betaFast), indexAt(betaSlow)];
  const first = Math.max(truncate ? Math.floor(low) : low, 0);
  const last = Math.min(truncate ? Math.ceil(high) : high, headDim - 1);
  // A blend without width is a step, as the reference has it.
  return { first, last: first === last ? last + 0.001 : last };
}

/** Writes the table rows [positions, headDim/2, 2] of (cos, sin), rounded once to single precision. */
export function fillRopeTable(
  table: Float32Array,
  positions: ArrayLike<number>,
  { frequencies, magnitude = 1 }: RopeAngles,
): void {
  let at = 0;
  for (let row = 0; row < positions.length; row++) {
    const position = positions[row]!;
    for (const frequency of frequencies) {
      const angle = position * frequency;
      table[at++] = magnitude * Math.cos(angle);
      table[at++] = magnitude * Math.sin(angle);
    }
  }
}
