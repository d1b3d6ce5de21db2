/**
 * All presets by name, and the choice of one for a tokenizer.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { quoted } from "../base/quoted.ts";
import { checkConfig, type ModelConfig } from "./config.ts";
import type { Preset } from "./preset.ts";
import { LLAMA_PRESETS } from "./presets_llama.ts";
import { PALM_PRESETS } from "./presets_palm.ts";
import { SMALL_PRESETS } from "./presets_small.ts";

const BY_NAME: ReadonlyMap<string, () => Preset> = new Map(
  [...SMALL_PRESETS, ...LLAMA_PRESETS, ...PALM_PRESETS].map((make) => [make().name, make]),
);

/** The names of all presets: small ones, Llamas by age, PaLMs. */
export const PRESET_NAMES: readonly string[] = [...BY_NAME.keys()];

/** What a tokenizer says to a preset that takes its vocabulary from it. */
export interface PresetVocabulary {
  /** Number of tokens. */
  readonly vocabSize?: number;
  /** Token that begins a text. */
  readonly bosTokenId?: number;
  /** Tokens that end a text. */
  readonly eosTokenIds?: readonly number[];
}

/**
 * The preset of a name, its vocabulary taken from the tokenizer where the preset leaves it open.
 *
 * @throws {ConfigError} For an unknown name (with the nearest known one), or where a published
 * model is asked to take another vocabulary.
 */
export function presetOf(name: string, vocabulary: PresetVocabulary = {}): Preset {
  const make = BY_NAME.get(name);
  if (make === undefined) {
    throw new ConfigError(
      `Cannot use preset ${quoted(name)}: there is none of this name`,
      { hint: didYouMean(name, PRESET_NAMES) ?? "llamero presets lists them" },
    );
  }
  const preset = make();
  const { vocabSize } = vocabulary;
  if (preset.vocabulary === "fixed") {
    if (vocabSize === undefined || vocabSize === preset.config.vocabSize) return preset;
    throw new ConfigError(
      `Cannot use preset ${quoted(name)}: the tokenizer has ${vocabSize} tokens, ` +
        `the model's own ${preset.config.vocabSize} were wanted`,
      { hint: "take a small preset, such as llama-110m, or the model's own tokenizer" },
    );
  }
  const given = Object.entries(vocabulary).filter(([, value]) => value !== undefined);
  const config = { ...preset.config, ...Object.fromEntries(given) } as ModelConfig;
  return { ...preset, config: checkConfig(config, { file: `preset ${name}` }) };
}

/**
 * The first preset whose config has these values and passes the test, or `undefined`: tells which
 * published model some sizes are.
 */
export function presetLike(
  values: Partial<ModelConfig>,
  test: (config: ModelConfig) => boolean = () => true,
): Preset | undefined {
  const entries = Object.entries(values) as [keyof ModelConfig, unknown][];
  for (const make of BY_NAME.values()) {
    const preset = make();
    const isAlike = entries.every(([key, value]) => preset.config[key] === value);
    if (isAlike && test(preset.config)) return preset;
  }
  return undefined;
}
