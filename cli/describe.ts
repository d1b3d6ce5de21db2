/**
 * The records of the commands in words: what help, man page and completions have in common.
 *
 * @module
 */

import type { AnyCommandSpec, AnyOption, ArgumentSpec } from "./command.ts";
import { flagOf, takesValue } from "./command.ts";

/** Placeholders whose values are names of files or folders. */
const FILE_VALUES = /^(FILE|DIR|PATH|PREFIX|SRC|DST|RUN|MODEL)\b/;

/** What completes a value: the words themselves, file names, or nothing. */
export function completionOf(
  value: { readonly value: string; readonly choices?: readonly string[] },
): readonly string[] | "files" | "nothing" {
  if (value.choices !== undefined) return value.choices;
  return FILE_VALUES.test(value.value) ? "files" : "nothing";
}

function longTerm(key: string, option: AnyOption): string {
  const flag = flagOf(key);
  if (!takesValue(option)) return option.negatable ? `--[no-]${flag.slice(2)}` : flag;
  return `${flag} ${option.value}${option.repeat === "many" ? "..." : ""}`;
}

/** An option as it is written: `-p, --prompt TEXT`, `--[no-]split-digits`, `--text FILE...`. */
export function optionTerm(key: string, option: AnyOption): string {
  const short = option.short === undefined ? "" : `-${option.short}, `;
  return short + longTerm(key, option);
}

function defaultOf(option: AnyOption): string | undefined {
  if (!takesValue(option)) return option.default === true ? "on" : undefined;
  if (option.defaultDoc !== undefined) return option.defaultDoc;
  return option.default === undefined ? undefined : String(option.default);
}

/** What an option does, its choices, default and environment variable in one sentence. */
export function optionDoc(option: AnyOption): string {
  const facts: string[] = [];
  if (takesValue(option)) {
    if (option.required) facts.push("required");
    if (option.choices !== undefined) facts.push(option.choices.join("|"));
    if (option.repeat !== undefined) facts.push("may be repeated");
  }
  const absent = defaultOf(option);
  if (absent !== undefined) facts.push(`default: ${absent}`);
  if (takesValue(option) && option.env !== undefined) facts.push(`env: ${option.env}`);
  return facts.length === 0 ? option.doc : `${option.doc} (${facts.join("; ")})`;
}

/** An argument as it is written: `FILE`, `[FILE]`, `FILE...`. */
export function argumentTerm(argument: ArgumentSpec): string {
  const name = argument.rest ? `${argument.value}...` : argument.value;
  return argument.required ? name : `[${name}]`;
}

/** How a command is called: `generate [options] --model PATH`. */
export function usageOf(spec: AnyCommandSpec): string {
  const required = Object.entries(spec.options)
    .filter(([, option]) => takesValue(option) && option.required)
    .map(([key, option]) => longTerm(key, option));
  const args = Object.values(spec.arguments).map(argumentTerm);
  return [...required, "[options]", ...args].join(" ");
}

/** Options by heading, in the order in which the headings first appear. */
export function optionGroups(spec: AnyCommandSpec): Map<string, [string, AnyOption][]> {
  const groups = new Map<string, [string, AnyOption][]>();
  for (const [key, option] of Object.entries(spec.options)) {
    const heading = option.group ?? "Options";
    groups.set(heading, [...groups.get(heading) ?? [], [key, option]]);
  }
  return groups;
}
