/**
 * Training configs as TOML files: what a `--config` file says, and `RUN/config.toml` read back.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import { ConfigError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { didYouMean } from "../base/nearest.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import type { ModelConfig } from "../model/config.ts";
import { parseDataSetting } from "./setting_text.ts";
import {
  type Checked,
  checkModelField,
  checkSetting,
  MODEL_NAMES,
  NESTED_NAMES,
  REQUEST_NAMES,
  SETTING_NAMES,
} from "./setting_checks.ts";
import { camelCase, kebabCase, type TrainSettings } from "./settings.ts";

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

const KEYS = [...REQUEST_NAMES, "model", ...SETTING_NAMES];

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
    else if (key === "data") {
      settings.data = accepted(checkSetting("data", dataOf(value, where)), where);
    } else settings[key] = accepted(checkSetting(key, value), where);
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
    if (!MODEL_NAMES.includes(key)) {
      throw unknownKey(where, MODEL_NAMES.map((name) => `model.${name}`));
    }
    model[key] = accepted(checkModelField(key, item), where);
  }
  return model as Partial<ModelConfig>;
}

function accepted(checked: Checked, where: Where): unknown {
  if (checked.fault === undefined) return checked.value;
  const { path, input, wanted } = checked.fault;
  const inside = (last: string) => [where.key, ...path.slice(0, -1), last].map(kebabCase).join(".");
  const key = [where.key, ...path].map(kebabCase).join(".");
  if (wanted === undefined) throw unknownKey({ ...where, key }, NESTED_NAMES.map(inside));
  throw refused(input, { ...where, key }, wanted);
}

function refused(value: unknown, { key, file }: Where, wanted: string): ConfigError {
  const other = value === undefined ? "missing" : JSON.stringify(value) ?? String(value);
  const is = typeof value === "string" ? quoted(value) : other;
  return new ConfigError(
    `Cannot use ${quotedPath(file)}: ${quoted(key)} is ${is}, ${wanted} was wanted`,
  );
}
