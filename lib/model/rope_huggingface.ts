/**
 * Rotary positions in Hugging Face's `config.json`, both ways.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";
import type { ConfigFields } from "./config_fields.ts";
import { type RopeScaling, yarnMagnitude, type YarnRopeScaling } from "./rope_scaling.ts";

/** Rotary positions of a model. */
export type Rope = Pick<ModelConfig, "ropeTheta" | "ropeScaling">;

const TYPES = '"linear", "llama3", "yarn", "dynamic" or "default"';

/**
 * Reads `rope_theta` and `rope_scaling`, or the later `rope_parameters`. As in transformers a
 * `rope_scaling` that says something goes before `rope_parameters`, and what stands in it before what
 * stands beside it, but for `original_max_position_embeddings`, where it is the other way round.
 *
 * @throws {ConfigError} For a scaling that is not known, or one that lacks a value.
 */
export function parseRope(
  fields: ConfigFields,
  { maxPositionEmbeddings }: Pick<ModelConfig, "maxPositionEmbeddings">,
): Rope {
  const older = fields.fields("rope_scaling");
  const scaling = older === undefined || older.isEmpty ? fields.fields("rope_parameters") : older;
  const ropeTheta = scaling?.has("rope_theta")
    ? scaling.number("rope_theta")
    : fields.number("rope_theta", 10000);
  if (scaling === undefined) return { ropeTheta };
  if (scaling.number("partial_rotary_factor", 1) !== 1) {
    scaling.refuse("partial_rotary_factor", "1");
  }
  const key = "original_max_position_embeddings";
  const original = () =>
    fields.has(key) ? fields.integer(key) : scaling.integer(key, maxPositionEmbeddings);
  const ropeScaling = parseRopeScaling(scaling, { original, maxPositionEmbeddings });
  return ropeScaling === undefined ? { ropeTheta } : { ropeTheta, ropeScaling };
}

interface Positions {
  /** Those of the first training. */
  readonly original: () => number;
  readonly maxPositionEmbeddings: number;
}

function parseRopeScaling(scaling: ConfigFields, positions: Positions): RopeScaling | undefined {
  const key = !scaling.has("rope_type") && scaling.has("type") ? "type" : "rope_type";
  const type = scaling.string(key, "default");
  switch (type) {
    case "default":
      return undefined;
    case "linear":
      return { type, factor: scaling.number("factor") };
    case "dynamic":
      return {
        type,
        factor: scaling.number("factor"),
        originalMaxPositionEmbeddings: positions.maxPositionEmbeddings,
      };
    case "llama3":
      return {
        type,
        factor: scaling.number("factor"),
        lowFreqFactor: scaling.number("low_freq_factor"),
        highFreqFactor: scaling.number("high_freq_factor"),
        originalMaxPositionEmbeddings: positions.original(),
      };
    case "yarn":
      return parseYarn(scaling, positions);
    default:
      return scaling.refuse(key, TYPES);
  }
}

function parseYarn(scaling: ConfigFields, positions: Positions): YarnRopeScaling {
  const original = positions.original();
  const factor = scaling.number("factor", positions.maxPositionEmbeddings / original);
  // Zeros count as absent, as they do there.
  const [scale, scaleAll] = [scaling.number("mscale", 0), scaling.number("mscale_all_dim", 0)];
  const usual = scale !== 0 && scaleAll !== 0
    ? yarnMagnitude(factor, scale) / yarnMagnitude(factor, scaleAll)
    : yarnMagnitude(factor);
  return {
    type: "yarn",
    factor,
    betaFast: scaling.number("beta_fast", 0) || 32,
    betaSlow: scaling.number("beta_slow", 0) || 1,
    originalMaxPositionEmbeddings: original,
    attentionFactor: scaling.number("attention_factor", usual),
    truncate: scaling.boolean("truncate", true),
  };
}

/** The value of `rope_scaling`, which {@linkcode parseRope} reads back; `null` for none. */
export function toRopeScaling(scaling: RopeScaling | undefined): Record<string, unknown> | null {
  if (scaling === undefined) return null;
  const { type: rope_type, factor } = scaling;
  if (scaling.type === "linear" || scaling.type === "dynamic") return { rope_type, factor };
  const original_max_position_embeddings = scaling.originalMaxPositionEmbeddings;
  if (scaling.type === "llama3") {
    return {
      rope_type,
      factor,
      low_freq_factor: scaling.lowFreqFactor,
      high_freq_factor: scaling.highFreqFactor,
      original_max_position_embeddings,
    };
  }
  const { attentionFactor, betaFast, betaSlow, truncate } = scaling;
  return {
    rope_type,
    factor,
    ...(attentionFactor === yarnMagnitude(factor) ? {} : { attention_factor: attentionFactor }),
    beta_fast: betaFast,
    beta_slow: betaSlow,
    original_max_position_embeddings,
    ...(truncate ? {} : { truncate }),
  };
}
