/**
 * From the words on the command line to the typed values that a command gets: flag, then
 * environment, then default.
 *
 * @module
 */

import { UsageError } from "../lib/base/errors.ts";
import { didYouMean } from "../lib/base/nearest.ts";
import { quoted } from "../lib/base/quoted.ts";
import {
  type AnyCommandSpec,
  type AnyOption,
  flagOf,
  type OptionSource,
  takesValue,
} from "./command.ts";
import { InvalidValue } from "./option_values.ts";

/** What the command line gave, still as text: one entry per key, absent where nothing was given. */
export interface Given {
  /** Options by key: a boolean for a switch, texts in order for an option with a value. */
  readonly options: Readonly<Record<string, boolean | readonly string[] | undefined>>;
  /** Positional arguments in order. */
  readonly arguments: readonly (string | readonly string[] | undefined)[];
}

/** Values and where each came from. */
export interface Resolved {
  /** Values by key. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Sources by key. */
  readonly sources: Readonly<Record<string, OptionSource>>;
}

function checkChoice(text: string, choices: readonly string[], target: string): void {
  if (choices.includes(text)) return;
  throw new UsageError(
    `Cannot set ${target} to ${quoted(text)}: not one of ${choices.join(", ")}`,
    { hint: didYouMean(text, choices) },
  );
}

function parseOne(
  option: Extract<AnyOption, { value: string }>,
  text: string,
  target: string,
): unknown {
  if (option.choices !== undefined) checkChoice(text, option.choices, target);
  if (option.parse === undefined) return text;
  try {
    return option.parse(text);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new UsageError(`Cannot set ${target} to ${quoted(text)}: not ${error.message}`);
  }
}

function fromText(option: AnyOption, texts: readonly string[], target: string): unknown {
  if (!takesValue(option)) return undefined;
  const parsed = texts.map((text) => parseOne(option, text, target));
  return option.repeat === undefined ? parsed.at(-1) : parsed;
}

function resolveOption(
  spec: AnyCommandSpec,
  key: string,
  given: boolean | readonly string[] | undefined,
  env: (name: string) => string | undefined,
): [value: unknown, source: OptionSource] {
  const option = spec.options[key]!;
  if (typeof given === "boolean") return [given, "flag"];
  if (given !== undefined) return [fromText(option, given, flagOf(key)), "flag"];
  if (!takesValue(option)) return [option.default ?? false, "default"];
  const named = option.env === undefined ? undefined : env(option.env);
  if (named !== undefined) return [fromText(option, [named], option.env!), "environment"];
  if (option.required) {
    throw new UsageError(
      `Cannot run "llamero ${spec.name}": ${flagOf(key)} ${option.value} is missing`,
      { hint: `llamero ${spec.name} --help shows how it is called` },
    );
  }
  const absent = option.repeat === undefined ? undefined : [];
  return [option.default ?? absent, "default"];
}

/** Resolves what was given against the record of a command. @throws {UsageError} With the option. */
export function resolveValues(
  spec: AnyCommandSpec,
  given: Given,
  env: (name: string) => string | undefined,
): Resolved {
  const values: Record<string, unknown> = {};
  const sources: Record<string, OptionSource> = {};
  for (const key of Object.keys(spec.options)) {
    const [value, source] = resolveOption(spec, key, given.options[key], env);
    if (value !== undefined) values[key] = value;
    sources[key] = source;
  }
  for (const [index, [key, argument]] of Object.entries(spec.arguments).entries()) {
    const value = given.arguments[index];
    for (const text of value === undefined ? [] : [value].flat()) {
      if (argument.choices !== undefined) checkChoice(text, argument.choices, argument.value);
    }
    if (value !== undefined) values[key] = value;
    sources[key] = value === undefined || value.length === 0 ? "default" : "flag";
  }
  return { values, sources };
}
