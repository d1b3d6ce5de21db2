/**
 * Whether a format can hold a model: what would be written is read back by its own reader and compared,
 * field by field, before a byte is written.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import { type ModelConfig, snakeCase } from "../model/config.ts";
import { type RopeAngles, ropeAngles } from "../model/rope.ts";

/** What is to be held, and where. */
export interface HeldOptions {
  /** The source, as the user named it. */
  readonly path: string;
  /** The format as people call it. */
  readonly target: string;
}

/** Name of a field of a config. */
export type Field = keyof ModelConfig;

/** Names of fields in Hugging Face's configs, where they are not the field's in snake case. */
const NAMES: Readonly<Partial<Record<Field, string>>> = {
  architecture: "model_type",
  normEps: "rms_norm_eps",
  eosTokenIds: "eos_token_id",
};

/** Fields that decide what a decoder computes, sizes first. */
const DECIDING: readonly Field[] = [
  "vocabSize",
  "hiddenSize",
  "intermediateSize",
  "numHiddenLayers",
  "numAttentionHeads",
  "numKeyValueHeads",
  "headDim",
  "maxPositionEmbeddings",
  "normEps",
  "ropeTheta",
  "ropeScaling",
  "tieWordEmbeddings",
  "norm",
  "parallelBlock",
  "logitsScale",
];

/** Formats keep constants as float32, and kernels take them so. */
const AS_FLOAT32: ReadonlySet<Field> = new Set(["normEps", "ropeTheta"]);

/** Relative difference of two frequencies that are meant to be the same. */
const TOLERANCE = 1e-4;

/** A field's name in Hugging Face's configs. */
export function fieldName(field: Field): string {
  return NAMES[field] ?? snakeCase(field);
}

/** Makes the error for a field that a format cannot hold. */
export function cannotHold(
  field: Field,
  what: string,
  { path, target }: HeldOptions,
): ConfigError {
  return new ConfigError(
    `Cannot convert ${quotedPath(path)} to ${target}: "${fieldName(field)}" is ${what}`,
  );
}

/** Refuses what only Hugging Face's format says: PaLM. */
export function checkIsLlama(config: ModelConfig, options: HeldOptions): void {
  if (config.architecture === "llama") return;
  throw cannotHold("architecture", 'PaLM\'s ("palm-like"), and the format holds Llamas', options);
}

/** Refuses heads that are not the hidden size divided among them. */
export function checkHeadDim(config: ModelConfig, options: HeldOptions): void {
  const { headDim, hiddenSize, numAttentionHeads } = config;
  if (headDim * numAttentionHeads === hiddenSize) return;
  const quotient = `"hidden_size" / "num_attention_heads" (${hiddenSize} / ${numAttentionHeads})`;
  throw cannotHold("headDim", `${headDim}, and the format takes it to be ${quotient}`, options);
}

/**
 * Compares a config with what the target's reader would make of it.
 *
 * @throws {ConfigError} Naming the first field that would come back as another.
 */
export function checkHeld(
  config: ModelConfig,
  options: HeldOptions & { readonly readBack: ModelConfig },
): void {
  const { readBack } = options;
  const field = unheldField(config, readBack);
  if (field === undefined) return;
  const [is, back] = [shown(config[field]), shown(readBack[field])];
  throw cannotHold(field, `${is}, and the format would have ${back}`, options);
}

/** The first field of those that decide what a decoder computes that would come back as another. */
export function unheldField(config: ModelConfig, readBack: ModelConfig): Field | undefined {
  return DECIDING.find((field) => !isHeld(field, config, readBack));
}

function isHeld(field: Field, config: ModelConfig, readBack: ModelConfig): boolean {
  if (field === "ropeScaling") return haveSameAngles(config, readBack);
  const [is, back] = [config[field], readBack[field]];
  if (!AS_FLOAT32.has(field)) return is === back;
  return Math.fround(is as number) === Math.fround(back as number);
}

/** The rule may be written in other words as long as it does the same, in texts of any length. */
function haveSameAngles(a: ModelConfig, b: ModelConfig): boolean {
  return [a.maxPositionEmbeddings, 4 * a.maxPositionEmbeddings].every((positions) => {
    const [one, other] = [a, { ...b, ropeTheta: a.ropeTheta }]
      .map((config) => ropeAngles(config, positions));
    const values = ({ frequencies, magnitude = 1 }: RopeAngles) => [magnitude, ...frequencies];
    const others = values(other!);
    return values(one!).every((value, i) => Math.abs(value - others[i]!) <= TOLERANCE * value);
  });
}

function shown(value: unknown): string {
  if (value === undefined) return "none";
  if (typeof value !== "object" || value === null) return `${value}`;
  const parts = Object.entries(value).map(([key, part]) => `${snakeCase(key)} ${part}`);
  return `{${parts.join(", ")}}`;
}

/** What a reader of the target would not know of how texts begin and end, or `undefined`. */
export function unheldTokens(config: ModelConfig, readBack: ModelConfig): string | undefined {
  const begins = config.bosTokenId === undefined || config.bosTokenId === readBack.bosTokenId;
  const missing = config.eosTokenIds.filter((id) => !readBack.eosTokenIds.includes(id));
  const parts = [
    ...(begins ? [] : [`begins texts with token ${config.bosTokenId}`]),
    ...(missing.length === 0 ? [] : [`ends them with token ${missing.join(" or ")}`]),
  ];
  return parts.length === 0 ? undefined : parts.join(" and ");
}
