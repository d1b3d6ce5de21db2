/**
 * Training configs as TOML files: what a `--config` file says, and `RUN/config.toml` read back.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import * as v from "valibot";
import { ConfigError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { didYouMean } from "../base/nearest.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { ModelConfig } from "../model/config.ts";
import { parseDataSetting } from "./setting_text.ts";
import {
  camelCase,
  kebabCase,
  SETTING_NAMES,
  SETTING_SCHEMAS,
  type SettingName,
  type TrainSettings,
} from "./settings.ts";

/** What a file or the command line asks for; the rest comes from elsewhere. */
export interface RequestedSettings extends Partial<TrainSettings> {
  /** Name of the preset. */
  readonly preset?: string | undefined;
  /** Tokens of the whole run, instead of steps. */
  readonly tokens?: number | undefined;
  /** Text files to train on, instead of data. */
  readonly text?: readonly string[] | undefined;
  /** Fields of the model's config, over the preset's. */
  readonly model?: Partial<ModelConfig> | undefined;
}

const wholeTokens = v.pipe(
  v.number("a number of at least 1"),
  v.finite("a number of at least 1"),
  v.minValue(1, "a number of at least 1"),
  v.transform(Math.floor),
);

/** Values that only a request has. */
const REQUEST_SCHEMAS = {
  preset: v.string("the name of a preset"),
  tokens: wholeTokens,
  text: v.array(v.string("a path"), "a list of files"),
} as const;

const KEYS = [...Object.keys(REQUEST_SCHEMAS), "model", ...SETTING_NAMES];

type ModelField = v.GenericSchema<unknown, unknown>;

const number: ModelField = v.number("a number");
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
  ropeScaling: v.strictObject({
    type: v.literal("llama3", '"llama3"'),
    factor: number,
    lowFreqFactor: number,
    highFreqFactor: number,
    originalMaxPositionEmbeddings: number,
  }, "a table with type, factor, low-freq-factor, high-freq-factor and more"),
  tieWordEmbeddings: v.boolean("true or false"),
  parallelBlock: v.boolean("true or false"),
  logitsScale: number,
  zLoss: number,
  bosTokenId: number,
  eosTokenIds: v.array(v.number("a token id"), "a list of token ids"),
};

/** Reads a config file. @throws {ConfigError} Naming file, key, value and what was wanted. */
export function readConfigFile(path: string): RequestedSettings {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
  return parseConfig(text, path);
}

/** Parses a config file's text. @throws {ConfigError} Naming file, key, value and what was wanted. */
export function parseConfig(text: string, file: string): RequestedSettings {
  const table = withNames(parsed(text, file), file) as Record<string, unknown>;
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table)) {
    const where = { key: kebabCase(key), file };
    if (!KEYS.includes(key)) throw unknownKey(where, KEYS);
    if (key === "model") settings.model = modelOf(value, file);
    else if (key === "data") settings.data = checked("data", dataOf(value, where), where);
    else settings[key] = checked(key, value, where);
  }
  return settings as RequestedSettings;
}

function parsed(text: string, file: string): unknown {
  try {
    return parseToml(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const what = thrown.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    throw new ConfigError(
      `Cannot read ${quotedPath(file)}: line ${thrown.line}, column ${thrown.column}: ${what}`,
    );
  }
}

/** Keys of all tables in camel case. */
function withNames(value: unknown, file: string): unknown {
  if (Array.isArray(value)) return value.map((item) => withNames(item, file));
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  const table: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = camelCase(key);
    if (Object.hasOwn(table, name)) {
      throw new ConfigError(`Cannot use ${quotedPath(file)}: it has ${quoted(key)} twice`);
    }
    table[name] = withNames(item, file);
  }
  return table;
}

interface Where {
  readonly key: string;
  readonly file: string;
}

function unknownKey({ key, file }: Where, known: readonly string[]): ConfigError {
  return new ConfigError(`Cannot use ${quotedPath(file)}: there is no setting ${quoted(key)}`, {
    hint: didYouMean(key, known.map(kebabCase)) ?? "llamero train --help lists the settings",
  });
}

/** A source may be written as on the command line, or as a table. */
function dataOf(value: unknown, where: Where): unknown {
  const list = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    if (typeof item !== "string") return item;
    const setting = parseDataSetting(item);
    if (setting !== undefined) return setting;
    throw refused(item, where, "PREFIX, PREFIX=WEIGHT or PREFIX=WEIGHT:MAX_EPOCHS");
  });
}

function modelOf(value: unknown, file: string): Partial<ModelConfig> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refused(value, { key: "model", file }, "a table");
  }
  const model: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const where = { key: `model.${kebabCase(key)}`, file };
    if (!Object.hasOwn(MODEL_SCHEMAS, key)) {
      throw unknownKey(where, Object.keys(MODEL_SCHEMAS).map((name) => `model.${name}`));
    }
    model[key] = validated(MODEL_SCHEMAS[key as keyof ModelConfig], item, where);
  }
  return model as Partial<ModelConfig>;
}

function checked(name: string, value: unknown, where: Where): unknown {
  const schema = Object.hasOwn(REQUEST_SCHEMAS, name)
    ? REQUEST_SCHEMAS[name as keyof typeof REQUEST_SCHEMAS]
    : SETTING_SCHEMAS[name as SettingName];
  return validated(schema, value, where);
}

function validated(schema: v.GenericSchema<unknown, unknown>, value: unknown, where: Where) {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = (issue.path ?? []).map(({ key }) => `.${kebabCase(String(key))}`).join("");
  const key = `${where.key}${path}`;
  // Only these messages are valibot's own: all others complete the sentence.
  if (issue.type === "strict_object" && issue.expected === "never") {
    throw unknownKey({ ...where, key }, []);
  }
  const wanted = issue.message.startsWith("Invalid key") ? "a value" : issue.message;
  throw refused(issue.input, { ...where, key }, wanted);
}

function refused(value: unknown, { key, file }: Where, wanted: string): ConfigError {
  const shown = value === undefined ? "missing" : quoted(JSON.stringify(value) ?? String(value));
  const is = typeof value === "string" ? quoted(value) : shown.replace(/^"|"$/g, "");
  return new ConfigError(
    `Cannot use ${quotedPath(file)}: ${quoted(key)} is ${is}, ${wanted} was wanted`,
  );
}
