/**
 * What values each setting takes, by valibot's schemas: one table that files and resumed runs go
 * through.
 *
 * @module
 */

import * as v from "valibot";
import { meshSize, parseMesh } from "../comm/mesh.ts";
import type { ModelConfig } from "../model/config.ts";
import { PIPELINE_SCHEDULES } from "../parallel/pipeline_schedule.ts";
import type { SettingName, TrainSettings } from "./settings.ts";

const count = (least: number) =>
  v.pipe(
    v.number(`a whole number of at least ${least}`),
    v.safeInteger(`a whole number of at least ${least}`),
    v.minValue(least, `a whole number of at least ${least}`),
  );
const from0 = (wanted = "a number of at least 0") =>
  v.pipe(v.number(wanted), v.finite(wanted), v.minValue(0, wanted));
const above0 = v.pipe(from0("a number above 0"), v.gtValue(0, "a number above 0"));
const share = (wanted = "a number from 0 to below 1") =>
  v.pipe(from0(wanted), v.ltValue(1, wanted));
const words = <const T extends readonly string[]>(...list: T) =>
  v.picklist(list, `one of ${list.join(", ")}`);
const text = v.pipe(v.string("a text"), v.nonEmpty("a text that is not empty"));

const MESH = '"auto", or axes such as "data=2,tensor=2"';

function isMesh(text: string): boolean {
  try {
    return text === "auto" || meshSize(parseMesh(text)) >= 1;
  } catch {
    return false;
  }
}

const stage = v.strictObject({
  fromStep: count(1),
  batchTokens: count(1),
  seqLen: v.exactOptional(count(1)),
}, "a table with from-step, batch-tokens and, where it changes, seq-len");

const skip = v.strictObject(
  { step: count(0), batches: count(1) },
  "a table with step and batches",
);

const source = v.strictObject({
  path: text,
  weight: v.exactOptional(above0),
  epochs: v.exactOptional(above0),
}, "a table with path and, where given, weight and epochs");

/** What values each setting takes; the message of a refusal completes "…, x was wanted". */
const SETTING_SCHEMAS: {
  readonly [K in keyof Required<TrainSettings>]: v.GenericSchema<
    unknown,
    Exclude<TrainSettings[K], undefined>
  >;
} = {
  steps: count(1),
  seqLen: count(1),
  batchTokens: count(1),
  batchRamp: v.array(stage, "a list of stages"),
  microBatch: count(1),
  optimizer: words("adamw", "adafactor"),
  lr: above0,
  minLr: from0(),
  warmup: count(0),
  hold: count(0),
  schedule: words("cosine", "inverse-sqrt", "linear", "constant", "wsd"),
  decay: count(0),
  beta1: share(),
  beta2: v.union(
    [v.literal("1-k^-0.8"), share()],
    'a number from 0 to below 1, or "1-k^-0.8"',
  ),
  eps: from0(),
  weightDecay: v.union([v.literal("lr^2"), from0()], 'a number of at least 0, or "lr^2"'),
  clip: from0(),
  updateClip: from0(),
  zLoss: from0(),
  dtype: words("f32", "bf16"),
  recompute: words("none", "selective", "full"),
  dropout: share(),
  documentMask: v.boolean("true or false"),
  skipBatches: v.array(skip, "a list of skips"),
  skipSpikes: v.boolean("true or false"),
  seed: count(0),
  backend: words("auto", "wasm", "native", "cuda"),
  threads: v.union([v.literal("auto"), count(1)], '"auto" or a whole number of at least 1'),
  saveEvery: count(1),
  keep: count(1),
  logEvery: count(1),
  evalEvery: count(1),
  evalSequences: count(1),
  sampleEvery: count(1),
  sampleTokens: count(1),
  samplePrompt: v.string("a text"),
  restarts: count(0),
  mesh: v.pipe(v.string(MESH), v.check(isMesh, MESH)),
  zero: v.picklist([1, 2, 3], "one of 1, 2, 3"),
  pipelineSchedule: words(...PIPELINE_SCHEDULES),
  stagesPerRank: count(2),
  reduce: words("ranks", "tree"),
  virtualRanks: count(1),
  checkReplicas: count(0),
  tokenizer: text,
  data: v.pipe(v.array(source, "a list of sources"), v.minLength(1, "a source or more")),
  evalData: v.array(text, "a list of paths"),
  init: text,
};

/** Values that only a request has. */
const wholeTokens = v.pipe(
  v.number("a number of at least 1"),
  v.finite("a number of at least 1"),
  v.minValue(1, "a number of at least 1"),
  v.transform(Math.floor),
);

const REQUEST_SCHEMAS = {
  preset: v.string("the name of a preset"),
  tokens: wholeTokens,
  text: v.array(v.string("a path"), "a list of files"),
} as const;

type ModelField = v.GenericSchema<unknown, unknown>;

const number: ModelField = v.number("a number");
const ropeScaling = v.variant(
  "type",
  [
    v.strictObject({
      type: v.literal("llama3"),
      factor: number,
      lowFreqFactor: number,
      highFreqFactor: number,
      originalMaxPositionEmbeddings: number,
    }, "a table with type, factor, low-freq-factor, high-freq-factor and more"),
    v.strictObject({ type: v.literal("linear"), factor: number }, "a table with type and factor"),
    v.strictObject({
      type: v.literal("yarn"),
      factor: number,
      betaFast: number,
      betaSlow: number,
      originalMaxPositionEmbeddings: number,
      attentionFactor: number,
      truncate: v.boolean("true or false"),
    }, "a table with type, factor, beta-fast, beta-slow and more"),
    v.strictObject({
      type: v.literal("dynamic"),
      factor: number,
      originalMaxPositionEmbeddings: number,
    }, "a table with type, factor and original-max-position-embeddings"),
  ],
  ({ expected }) =>
    expected === "Object" ? "a table with type and factor" : "linear, llama3, yarn or dynamic",
);

const MODEL_SCHEMAS: { readonly [K in keyof Required<ModelConfig>]: ModelField } = {
  architecture: v.picklist(["llama", "palm"], "one of llama, palm"),
  vocabSize: number,
  hiddenSize: number,
  intermediateSize: number,
  numHiddenLayers: number,
  numAttentionHeads: number,
  numKeyValueHeads: number,
  headDim: number,
  maxPositionEmbeddings: number,
  norm: v.picklist(["rms", "layer"], "one of rms, layer"),
  normEps: number,
  ropeTheta: number,
  ropeScaling,
  tieWordEmbeddings: v.boolean("true or false"),
  parallelBlock: v.boolean("true or false"),
  logitsScale: number,
  zLoss: number,
  bosTokenId: number,
  eosTokenIds: v.array(v.number("a token id"), "a list of token ids"),
};

/** Names of all settings, in the order of `config.toml`. */
export const SETTING_NAMES: readonly SettingName[] = Object.keys(SETTING_SCHEMAS) as SettingName[];

/** Names of what a request may say besides settings and the model. */
export const REQUEST_NAMES: readonly string[] = Object.keys(REQUEST_SCHEMAS);

/** Names of the fields of a model's config. */
export const MODEL_NAMES: readonly string[] = Object.keys(MODEL_SCHEMAS);

/** Names inside tables and lists of tables. */
export const NESTED_NAMES: readonly string[] = [stage, skip, source, ...ropeScaling.options]
  .flatMap(({ entries }) => Object.keys(entries));

/** A value that was looked at. */
export interface Checked {
  /** The value, as it is to be used. */
  readonly value?: unknown;
  /** What is wrong with it, where something is. */
  readonly fault?: {
    /** Where inside the value. */
    readonly path: readonly string[];
    /** What stands there. */
    readonly input: unknown;
    /** What was wanted; absent where the key itself is unknown. */
    readonly wanted?: string;
  };
}

/** Checks the value of a setting, or of what only a request has, by its name. */
export function checkSetting(name: string, value: unknown): Checked {
  const schema = REQUEST_NAMES.includes(name)
    ? REQUEST_SCHEMAS[name as keyof typeof REQUEST_SCHEMAS]
    : SETTING_SCHEMAS[name as SettingName];
  return checked(schema, value);
}

/** Checks the value of a field of a model's config by its name. */
export function checkModelField(name: string, value: unknown): Checked {
  return checked(MODEL_SCHEMAS[name as keyof ModelConfig], value);
}

function checked(schema: v.GenericSchema<unknown, unknown>, value: unknown): Checked {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return { value: result.output };
  const [issue] = result.issues;
  const path = (issue.path ?? []).map(({ key }) => String(key));
  // The message of an object stands for what it is, and its keys have none of their own.
  const isKey = issue.type === "strict_object" && path.length > 0;
  if (isKey && issue.expected === "never") return { fault: { path, input: issue.input } };
  const wanted = isKey && issue.received === "undefined" ? "a value" : issue.message;
  return { fault: { path, input: issue.input, wanted } };
}
