/**
 * How rotary frequencies are stretched, so that a model takes more positions than it was trained on.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";

/**
 * Llama 3.1's stretching of the rotary frequencies: wavelengths above
 * `originalMaxPositionEmbeddings / lowFreqFactor` are divided by `factor`, those below
 * `originalMaxPositionEmbeddings / highFreqFactor` kept, those between blended linearly.
 */
export interface Llama3RopeScaling {
  /** What the scaling is called. */
  readonly type: "llama3";
  /** By how much low frequencies are divided; 8 in Llama 3.1, 32 in Llama 3.2. */
  readonly factor: number;
  /** Bounds the low frequencies; 1. */
  readonly lowFreqFactor: number;
  /** Bounds the high frequencies; 4. */
  readonly highFreqFactor: number;
  /** Positions that the model was first trained on; 8192. */
  readonly originalMaxPositionEmbeddings: number;
}

/** Every rotary frequency divided by `factor`: positions are interpolated (Chen et al. 2023). */
export interface LinearRopeScaling {
  /** What the scaling is called. */
  readonly type: "linear";
  /** By how much positions are stretched. */
  readonly factor: number;
}

/**
 * YaRN (Peng et al. 2023, §3): pairs that turn more than `betaFast` times within
 * `originalMaxPositionEmbeddings` keep their frequency, those that turn less than `betaSlow` times
 * are divided by `factor`, those between are blended linearly by their index; queries and keys are
 * multiplied by `attentionFactor`.
 */
export interface YarnRopeScaling {
  /** What the scaling is called. */
  readonly type: "yarn";
  /** By how much low frequencies are divided. */
  readonly factor: number;
  /** Turns above which a pair is kept; 32. */
  readonly betaFast: number;
  /** Turns below which a pair is stretched whole; 1. */
  readonly betaSlow: number;
  /** Positions that the model was first trained on. */
  readonly originalMaxPositionEmbeddings: number;
  /** What cosines and sines are multiplied by; {@linkcode yarnMagnitude} of the factor usually. */
  readonly attentionFactor: number;
  /** Whether the bounds of the blend are rounded outwards to whole indices. */
  readonly truncate: boolean;
}

/**
 * A base that grows with the text beyond `originalMaxPositionEmbeddings` ("NTK-aware"): for L
 * positions `theta (factor L / original - (factor - 1))^(headDim / (headDim - 2))`.
 */
export interface DynamicRopeScaling {
  /** What the scaling is called. */
  readonly type: "dynamic";
  /** How fast the base grows. */
  readonly factor: number;
  /** Positions up to which nothing is stretched. */
  readonly originalMaxPositionEmbeddings: number;
}

/** How rotary frequencies are stretched, so that a model takes more positions. */
export type RopeScaling =
  | Llama3RopeScaling
  | LinearRopeScaling
  | YarnRopeScaling
  | DynamicRopeScaling;

/** YaRN's `0.1 scale ln(factor) + 1` (eq. 22), by which it multiplies queries and keys. */
export function yarnMagnitude(factor: number, scale = 1): number {
  return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
}

type Check = (key: string, value: number, isRight: boolean, wanted: string) => void;

/**
 * Refuses a scaling that gives no angles.
 *
 * @throws {ConfigError} Naming the file, the key, the value and what was wanted.
 */
export function checkRopeScaling(
  scaling: RopeScaling | undefined,
  options: { readonly file: string; readonly ropeTheta: number; readonly most: number },
): void {
  if (scaling === undefined) return;
  const check: Check = (key, value, isRight, wanted) => {
    if (isRight && Number.isFinite(value)) return;
    throw new ConfigError(
      `Cannot use ${
        quotedPath(options.file)
      }: "${key}" of the rope scaling is ${value}, ${wanted} was wanted`,
    );
  };
  check("factor", scaling.factor, scaling.factor >= 1, "a number of at least 1");
  if (scaling.type === "linear") return;
  const { originalMaxPositionEmbeddings: original } = scaling;
  if (scaling.type === "llama3") checkLlama3(scaling, check);
  if (scaling.type === "yarn") checkYarn(scaling, options.ropeTheta, check);
  check(
    "original_max_position_embeddings",
    original,
    Number.isInteger(original) && original >= 1 && original <= options.most,
    `a whole number from 1 to ${options.most}`,
  );
}

function checkLlama3({ lowFreqFactor, highFreqFactor }: Llama3RopeScaling, check: Check): void {
  check("low_freq_factor", lowFreqFactor, lowFreqFactor > 0, "a number above 0");
  check(
    "high_freq_factor",
    highFreqFactor,
    highFreqFactor > lowFreqFactor,
    `a number above "low_freq_factor" (${lowFreqFactor})`,
  );
}

function checkYarn(
  { betaFast, betaSlow, attentionFactor }: YarnRopeScaling,
  ropeTheta: number,
  check: Check,
): void {
  check("beta_slow", betaSlow, betaSlow > 0, "a number above 0");
  check("beta_fast", betaFast, betaFast >= betaSlow, `at least "beta_slow" (${betaSlow})`);
  check("attention_factor", attentionFactor, attentionFactor > 0, "a number above 0");
  // The pair that turns n times is found by a logarithm of this base.
  check("rope_theta", ropeTheta, ropeTheta > 1, "a number above 1");
}
