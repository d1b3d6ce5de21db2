/**
 * The model of a run: fields that are asked for, over those of the preset or of the model that it begins
 * with, over what follows from them and the family's own.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { fieldName, unheldField } from "../checkpoint/held.ts";
import {
  type Architecture,
  checkConfig,
  type ConfigSource,
  type ModelConfig,
} from "../model/config.ts";
import { parseHuggingFaceConfig, toHuggingFaceConfig } from "../model/config_huggingface.ts";
import { presetOf, type PresetVocabulary } from "../model/presets.ts";
import type { Resolver } from "./request_layers.ts";
import { MODEL_NAMES } from "./setting_checks.ts";
import { kebabCase } from "./settings.ts";

/** What a model is resolved against besides requests. */
export interface ModelSurroundings {
  /** What the tokenizer says of the vocabulary. */
  readonly vocabulary: PresetVocabulary;
  /** The config of the preset, or of the model that the weights begin as. */
  readonly base: ModelConfig | undefined;
  /** The config of the model that the weights begin as. */
  readonly initConfig?: ModelConfig | undefined;
}

/** What makes a family, whatever its sizes. */
const FAMILY = [
  "norm",
  "normEps",
  "ropeTheta",
  "tieWordEmbeddings",
  "parallelBlock",
  "zLoss",
] as const;

/** What a model cannot be without. */
const SIZES_WANTED = [
  "hiddenSize",
  "intermediateSize",
  "numHiddenLayers",
  "numAttentionHeads",
] as const satisfies readonly (keyof ModelConfig)[];

/** Sizes that weights depend on. */
const SIZES = [
  "architecture",
  "vocabSize",
  "hiddenSize",
  "intermediateSize",
  "numHiddenLayers",
  "numAttentionHeads",
  "numKeyValueHeads",
  "headDim",
  "tieWordEmbeddings",
  "parallelBlock",
] as const satisfies readonly (keyof ModelConfig)[];

/**
 * Resolves the model of a run whose recipe is resolved.
 *
 * @throws {ConfigError} Where a field is missing or wrong, the tokenizer has more tokens, or a checkpoint
 * could not hold the model.
 */
export function modelOfRun(resolver: Resolver, surroundings: ModelSurroundings): ModelConfig {
  const { vocabulary: { vocabSize }, initConfig } = surroundings;
  const layer = resolver.layerOf("model");
  const source: ConfigSource = {
    file: layer?.origin("model") ?? "the preset",
    keys: Object.fromEntries(MODEL_NAMES.map((name) => [name, kebabCase(name)])),
  };
  const model = withDefaults(resolver, surroundings);
  const missing = SIZES_WANTED.find((name) => model[name] === undefined);
  if (missing !== undefined) {
    throw new ConfigError(
      `Cannot use ${quotedPath(source.file)}: [model] has no ${quoted(kebabCase(missing))}`,
      { hint: 'a preset has all sizes: --preset NAME, or preset = "NAME" above [model]' },
    );
  }
  const checked = checkConfig(model as ModelConfig, source);
  if (vocabSize !== undefined && vocabSize > checked.vocabSize) {
    throw new ConfigError(
      `Cannot train: the tokenizer has ${vocabSize} tokens, the model's vocabulary ${checked.vocabSize}`,
      { hint: "give the tokenizer that the model is for, or a small preset, which takes any" },
    );
  }
  if (initConfig !== undefined) checkInit(checked, initConfig);
  checkIsHeld(checked, source);
  return checked;
}

/** What is asked for, and everything else that can be told. */
function withDefaults(
  resolver: Resolver,
  { vocabulary, base }: ModelSurroundings,
): Partial<ModelConfig> {
  const asked: Partial<ModelConfig> = resolver.requested("model") ?? {};
  const architecture = asked.architecture ?? base?.architecture ?? "llama";
  const family = familyOf(architecture);
  const known: Partial<ModelConfig> = {
    ...family,
    ...vocabularyOf(vocabulary),
    ...base,
    ...(base?.architecture === architecture ? {} : family),
    ...asked,
  };
  return { ...known, ...following(known, { asked, base }), maxPositionEmbeddings: positions() };

  function positions(): number {
    const lengths =
      (resolver.values.batchRamp ?? resolver.requested("batchRamp") ?? []) as readonly {
        readonly seqLen?: number;
      }[];
    return known.maxPositionEmbeddings ??
      Math.max(resolver.values.seqLen as number, ...lengths.map(({ seqLen = 0 }) => seqLen));
  }
}

function familyOf(architecture: Architecture): Partial<ModelConfig> {
  const { config } = presetOf(architecture === "palm" ? "palm-110m" : "llama-110m");
  return { architecture, ...Object.fromEntries(FAMILY.map((name) => [name, config[name]])) };
}

function vocabularyOf({ vocabSize, bosTokenId, eosTokenIds = [] }: PresetVocabulary) {
  const given = Object.entries({ vocabSize, bosTokenId });
  return { eosTokenIds, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
}

/**
 * What follows from other fields in a family: the heads' width `hiddenSize / numAttentionHeads` and
 * keys and values for each head in LLaMA; `4 hiddenSize` between, one head of keys and values and
 * logits times `1/sqrt(hiddenSize)` in PaLM. A base in which it is so keeps it so.
 */
function following(
  known: Partial<ModelConfig>,
  { asked, base }: { readonly asked: Partial<ModelConfig>; readonly base: ModelConfig | undefined },
): Partial<ModelConfig> {
  const rules = known.architecture === "palm" ? PALM_RULES : LLAMA_RULES;
  const own = base?.architecture === known.architecture ? base : undefined;
  const values: Partial<Record<SizeField, number>> = {};
  for (const [name, rule] of Object.entries(rules) as [SizeField, Rule][]) {
    if (asked[name] !== undefined) continue;
    const follows = own === undefined || own[name] === rule(own);
    const value = follows ? rule(known as ModelConfig) : own[name];
    if (Number.isFinite(value)) values[name] = value;
  }
  return values;
}

type SizeField = "headDim" | "intermediateSize" | "numKeyValueHeads" | "logitsScale";

/** What a field follows from; not a number where that is not known. */
type Rule = (config: ModelConfig) => number;

const headDim: Rule = (config) => config.hiddenSize / config.numAttentionHeads;

const LLAMA_RULES: Readonly<Partial<Record<SizeField, Rule>>> = {
  headDim,
  numKeyValueHeads: (config) => config.numAttentionHeads,
  logitsScale: () => 1,
};

const PALM_RULES: Readonly<Partial<Record<SizeField, Rule>>> = {
  headDim,
  intermediateSize: (config) => 4 * config.hiddenSize,
  numKeyValueHeads: () => 1,
  logitsScale: (config) => 1 / Math.sqrt(config.hiddenSize),
};

/** Refuses a model whose checkpoints would be read as another. */
function checkIsHeld(model: ModelConfig, { file }: ConfigSource): void {
  const readBack = parseHuggingFaceConfig(toHuggingFaceConfig(model), file);
  const field = unheldField(model, readBack);
  if (field === undefined) return;
  throw new ConfigError(
    `Cannot train: [model] of ${quotedPath(file)} has ${quoted(kebabCase(field))} ${
      model[field]
    }, ` +
      `and a Llama's checkpoints would be read with "${fieldName(field)}" ${readBack[field]}`,
    { hint: 'with architecture = "palm" checkpoints say it' },
  );
}

function checkInit(model: ModelConfig, init: ModelConfig): void {
  const other = SIZES.find((key) => model[key] !== init[key]);
  if (other === undefined) return;
  throw new ConfigError(
    `Cannot begin with the model of --init: its "${kebabCase(other)}" is ${init[other]}, ` +
      `${model[other]} was wanted`,
    { hint: "leave --preset away: the model brings its own config" },
  );
}
