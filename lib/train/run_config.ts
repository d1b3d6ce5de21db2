/**
 * The resolved config of a run: every setting, the model, and where each value came from.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { ModelConfig } from "../model/config.ts";
import { presetLike, presetOf, type PresetVocabulary } from "../model/presets.ts";
import type { Recipe } from "../model/recipe.ts";
import { type RequestLayer, Resolver } from "./request_layers.ts";
import { takeLength } from "./run_length.ts";
import { modelOfRun } from "./run_model.ts";
import { SETTING_NAMES } from "./setting_checks.ts";
import type { SettingName, TrainSettings } from "./settings.ts";

/** What a run is resolved against besides requests. */
export interface RunSurroundings {
  /** What the tokenizer says of the vocabulary. */
  readonly vocabulary: PresetVocabulary;
  /** The config of the model that the weights begin as. */
  readonly initConfig?: ModelConfig | undefined;
  /** Most tokens that the epochs of the data allow, where they say; asked for once the rest is known. */
  readonly tokensOfData?: (() => number | undefined) | undefined;
}

/** A run's config. */
export interface RunConfig {
  /** Name of the preset, where there is one. */
  readonly preset: string | undefined;
  /** Config of what is trained, its vocabulary that of the tokenizer. */
  readonly model: ModelConfig;
  /** All settings. */
  readonly settings: TrainSettings;
  /** Where each setting came from. */
  readonly origins: ReadonlyMap<string, string>;
}

/** Steps between checkpoints at most, by default. */
const LARGEST_SAVE_EVERY = 1000;

/** One rank; with several every one is a replica, compared every few hundred steps (Llama 3). */
const RANK_DEFAULTS = {
  mesh: "auto",
  zero: 1,
  reduce: "ranks",
  virtualRanks: 1,
  checkReplicas: 200,
} as const satisfies Partial<TrainSettings>;

/** Settings of a recipe that belong to its optimizer: another optimizer brings its own. */
const OPTIMIZER_SETTINGS = [
  "lr",
  "minLr",
  "warmup",
  "hold",
  "schedule",
  "beta1",
  "beta2",
  "eps",
  "weightDecay",
] as const satisfies readonly (keyof Recipe & SettingName)[];

/**
 * Resolves a run: each setting from the first layer that has it, then the preset, then what follows
 * from others or is the default.
 *
 * @param layers The first wins: flags, environment, file.
 * @throws {ConfigError} Where settings contradict each other or the model.
 */
export function resolveRun(
  layers: readonly RequestLayer[],
  surroundings: RunSurroundings,
): RunConfig {
  const resolver = new Resolver(layers);
  const preset = presetFor(resolver, surroundings);
  takeRecipe(resolver, preset);
  const model = modelOfRun(resolver, { ...surroundings, base: preset.config });
  takeModel(resolver, model);
  takeLength(resolver, { ...preset, tokensOfData: surroundings.tokensOfData });
  takeRun(resolver);
  const { values, origins } = resolver;
  const settings = Object.fromEntries(
    SETTING_NAMES.filter((name) => values[name] !== undefined).map((name) => [name, values[name]]),
  ) as unknown as TrainSettings;
  checkSettings(settings, model);
  return { preset: preset.name, model: { ...model, zLoss: settings.zLoss }, settings, origins };
}

/** A run on the kernels that it has found: it goes on with these, as others round otherwise. */
export function withBackend(config: RunConfig, backend: TrainSettings["backend"]): RunConfig {
  const { settings, origins } = config;
  if (settings.backend === backend) return config;
  const found = `${settings.backend}, on the machine where it began`;
  return {
    ...config,
    settings: { ...settings, backend },
    origins: new Map(origins).set("backend", found),
  };
}

/** A recipe and a model to begin with. */
interface Base {
  readonly name: string | undefined;
  readonly config: ModelConfig | undefined;
  readonly recipe: Recipe;
  readonly origin: string;
}

function presetFor(resolver: Resolver, { vocabulary, initConfig }: RunSurroundings): Base {
  const name = resolver.requested("preset");
  if (name !== undefined) {
    const { config, recipe } = presetOf(name, vocabulary);
    return { name, config, recipe, origin: `preset ${name}` };
  }
  const config = initConfig;
  if (config === undefined && resolver.requested("model") === undefined) {
    throw new ConfigError("Cannot train: neither a preset nor a config says which model", {
      hint: "give --preset NAME (llamero presets lists them) or --config FILE.toml with a [model]",
    });
  }
  const like = config && presetLike({
    architecture: config.architecture,
    hiddenSize: config.hiddenSize,
    numHiddenLayers: config.numHiddenLayers,
    vocabSize: config.vocabSize,
  });
  const architecture = config?.architecture ?? resolver.requested("model")?.architecture;
  const near = like ?? presetOf(architecture === "palm" ? "palm-110m" : "llama-110m");
  return { name: undefined, config, recipe: near.recipe, origin: `like ${near.name}` };
}

/** Every number that papers give, of the preset unless asked for otherwise. */
function takeRecipe(resolver: Resolver, { recipe, origin }: Base): void {
  const optimizer = resolver.take("optimizer", recipe.optimizer, origin);
  const other = optimizer !== recipe.optimizer;
  const substitute = other && presetOf(optimizer === "adamw" ? "llama-110m" : "palm-110m");
  const own = substitute ? substitute.recipe : recipe;
  const ownOrigin = substitute ? `${optimizer}, as in ${substitute.name}` : origin;
  for (const name of OPTIMIZER_SETTINGS) resolver.take(name, own[name] as never, ownOrigin);
  const lr = resolver.values.lr as number;
  if (lr !== own.lr && resolver.requested("minLr") === undefined) {
    const share = own.minLr / own.lr;
    resolver.set("minLr", lr * share, `${share} of lr, as in ${ownOrigin}`);
  }
  for (const name of ["clip", "seqLen", "dropout", "documentMask"] as const) {
    resolver.take(name, recipe[name] as never, origin);
  }
  resolver.take("updateClip", 1, "default");
}

function takeModel(resolver: Resolver, model: ModelConfig): void {
  resolver.take("zLoss", model.zLoss, "the model");
}

/** What decides nothing about the result, and the run's inputs. */
function takeRun(resolver: Resolver): void {
  const steps = resolver.values.steps as number;
  const saveEvery = resolver.take(
    "saveEvery",
    Math.min(LARGEST_SAVE_EVERY, Math.max(1, Math.ceil(steps / 10))),
    "a tenth of the steps, at most 1000",
  );
  const defaults: Partial<{ [K in SettingName]: TrainSettings[K] }> = {
    dtype: "f32",
    recompute: "none",
    skipBatches: [],
    skipSpikes: false,
    seed: 0,
    backend: "auto",
    threads: "auto",
    keep: 3,
    logEvery: 10,
    evalEvery: saveEvery,
    evalSequences: 64,
    sampleEvery: saveEvery,
    sampleTokens: 64,
    samplePrompt: "",
    restarts: 0,
    ...RANK_DEFAULTS,
    evalData: [],
  };
  for (const [name, value] of Object.entries(defaults)) {
    resolver.take(name as SettingName, value as never, "default");
  }
  takePipeline(resolver);
  for (const name of ["tokenizer", "data", "init"] as const) {
    resolver.take(name, undefined as never, "");
  }
}

/** Who asks for stages of each rank, and for no schedule, gets the one that has several. */
function takePipeline(resolver: Resolver): void {
  // Megatron-LM's least.
  const stages = resolver.take("stagesPerRank", 2, "default");
  resolver.take("pipelineSchedule", "1f1b", "default");
  if (!resolver.isRatherAsked("stagesPerRank", "pipelineSchedule")) return;
  resolver.set("pipelineSchedule", "interleaved", `${stages} stages per rank`);
}

function checkSettings(settings: TrainSettings, model: ModelConfig): void {
  const refuse = (what: string, wanted: string): never => {
    throw new ConfigError(`Cannot train with ${what}: ${wanted} was wanted`);
  };
  const { optimizer, beta2, lr, minLr, warmup, steps, eps, schedule, decay } = settings;
  if (optimizer === "adamw" && typeof beta2 !== "number") {
    refuse('AdamW and beta2 "1-k^-0.8"', "a number below 1, as its bias correction needs one");
  }
  if (optimizer === "adamw" && eps === 0) refuse("AdamW and eps 0", "a number above 0");
  if (minLr > lr) refuse(`min-lr ${minLr} and lr ${lr}`, "a min-lr of at most lr");
  if (warmup > steps) refuse(`${warmup} steps of warmup and ${steps} in all`, "fewer");
  if (schedule === "wsd" && warmup + decay > steps) {
    refuse(`${warmup} steps of warmup, ${decay} of decay and ${steps} in all`, "fewer");
  }
  const { largest } = new BatchRamp(settings);
  if (largest.seqLen > model.maxPositionEmbeddings) {
    throw new ConfigError(
      `Cannot train on sequences of ${largest.seqLen} tokens: the model has ` +
        `${model.maxPositionEmbeddings} positions`,
      { hint: `--seq-len ${model.maxPositionEmbeddings}, or [model] max-position-embeddings` },
    );
  }
}
