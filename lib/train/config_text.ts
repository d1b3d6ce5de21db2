/**
 * `RUN/config.toml`: all values of a run, each with where it came from.
 *
 * @module
 */

import { formatInteger } from "../base/format.ts";
import { countParameters } from "../model/parameters.ts";
import type { RunConfig } from "./run_config.ts";
import { SETTING_NAMES } from "./setting_checks.ts";
import { kebabCase } from "./settings.ts";

/** Column at which comments begin, where the value is not longer. */
const COMMENT_COLUMN = 32;

/** Writes a config as TOML that {@linkcode parseConfig} reads back to the same values. */
export function formatConfig({ preset, model, settings, origins }: RunConfig): string {
  const lines = [
    "# A training run of llamero: every setting, and where it came from.",
    "# To go on with it: llamero train --out <this folder> --resume",
    "",
    ...(preset === undefined ? [] : [`# preset ${preset}`]),
  ];
  for (const name of SETTING_NAMES) {
    const value = settings[name];
    if (value === undefined || name === "data") continue;
    const line = `${kebabCase(name)} = ${formatValue(value)}`;
    lines.push(`${line.padEnd(COMMENT_COLUMN)} # ${oneLine(origins.get(name) ?? "")}`.trimEnd());
  }
  lines.push("", `# ${formatInteger(countParameters(model).total)} parameters`, "[model]");
  for (const [key, value] of Object.entries(model)) {
    if (value !== undefined) lines.push(`${kebabCase(key)} = ${formatValue(value)}`);
  }
  for (const source of settings.data) {
    lines.push("", "[[data]]");
    for (const [key, value] of Object.entries(source)) lines.push(`${key} = ${formatValue(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex -- a comment may hold none of these
  return text.replace(/[\x00-\x1f\x7f]/g, " ");
}

function formatValue(value: unknown): string {
  if (typeof value === "string") return formatString(value);
  if (Array.isArray(value)) return `[${value.map(formatValue).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value).filter(([, item]) => item !== undefined)
      .map(([key, item]) => `${kebabCase(key)} = ${formatValue(item)}`);
    return `{ ${fields.join(", ")} }`;
  }
  // `1e-7` and `1e+21` are floats in TOML too, but 1e21 of a whole number would be no integer.
  return String(value);
}

/** JSON's escapes are TOML's, but for the delete character, which TOML wants escaped. */
function formatString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll("\x7f", "\\u007f");
}
