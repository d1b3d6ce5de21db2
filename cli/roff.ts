/**
 * The manual page in roff's man macros, from the records of the commands.
 *
 * @module
 */

import { type AnyCommandSpec, type AnyOption, takesValue } from "./command.ts";
import { argumentTerm, optionDoc, optionGroups, optionTerm, usageOf } from "./describe.ts";

/** Escapes text for a line of roff: backslashes, dashes that must stay dashes, leading controls. */
function escape(text: string): string {
  // Characters by their code points: troff by itself reads bytes as Latin-1.
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-")
    .replace(/[^\x20-\x7e\n]/gu, (character) => {
      const hex = character.codePointAt(0)!.toString(16).toUpperCase();
      return `\\[u${hex.padStart(4, "0")}]`;
    });
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

function tagged(term: string, doc: string): string[] {
  return [".TP", `.B ${escape(term)}`, escape(doc)];
}

function commandLines(spec: AnyCommandSpec): string[] {
  const lines = [`.SS llamero ${escape(spec.name)}`, `.B llamero ${escape(spec.name)}`];
  lines.push(escape(usageOf(spec)), ".PP", escape(sentence(spec.summary)));
  for (const paragraph of spec.description?.split("\n") ?? []) {
    lines.push(paragraph === "" ? ".PP" : escape(paragraph));
  }
  for (const argument of Object.values(spec.arguments)) {
    lines.push(...tagged(argumentTerm(argument), argument.doc));
  }
  for (const [heading, options] of optionGroups(spec)) {
    lines.push(".PP", `.I ${escape(heading)}`);
    for (const [key, option] of options) {
      lines.push(...tagged(optionTerm(key, option), optionDoc(option)));
    }
  }
  for (const example of spec.examples) {
    lines.push(".PP", escape(`Example, ${example.doc}:`), ".PP", ".RS", ".nf");
    lines.push(escape(example.command), ".fi", ".RE");
  }
  return lines;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function environmentLines(specs: readonly AnyCommandSpec[]): string[] {
  const named = new Map<string, string>();
  for (const option of specs.flatMap((spec): AnyOption[] => Object.values(spec.options))) {
    if (takesValue(option) && option.env !== undefined) named.set(option.env, option.doc);
  }
  named.set("NO_COLOR", "no colours, whatever the terminal can show");
  return [...named].flatMap(([name, doc]) => tagged(name, sentence(doc)));
}

const EXIT_STATUS = [
  ["0", "Done."],
  ["1", "The work failed."],
  ["2", "The command line or a config is wrong."],
  ["130", "Interrupted; the state was saved first where there is state."],
] as const;

/** Writes the manual page `llamero(1)`. */
export function manualPage(specs: readonly AnyCommandSpec[], version: string): string {
  const groups = new Map<string, AnyCommandSpec[]>();
  for (const spec of specs) groups.set(spec.group, [...groups.get(spec.group) ?? [], spec]);
  return [
    '.\\" made by: llamero man',
    `.TH LLAMERO 1 "" "llamero ${version}" "User Commands"`,
    ".SH NAME",
    "llamero \\- language models of the Llama family, from raw text to generation",
    ".SH SYNOPSIS",
    ".B llamero",
    ".I command",
    "[options]",
    ".SH DESCRIPTION",
    "Takes Llama\\-family language models through their whole life, without Python.",
    "Results go to standard output, everything else to standard error.",
    "A file named \\- is standard input or output.",
    ...[...groups].flatMap(([heading, members]) => [
      `.SH ${escape(heading).toUpperCase()}`,
      ...members.flatMap(commandLines),
    ]),
    ".SH ENVIRONMENT",
    "A flag overrides the environment, and the environment overrides a default.",
    ...environmentLines(specs),
    ".SH EXIT STATUS",
    ...EXIT_STATUS.flatMap(([code, doc]) => tagged(code, doc)),
    "",
  ].join("\n");
}
