/**
 * The completion script of fish.
 *
 * @module
 */

import type { CommandWords, FlagWords, ProgramWords } from "./words.ts";

const quote = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;

function flagLine(name: string, { flag, short, doc, value, completion }: FlagWords): string {
  const parts = [`complete -c llamero -n "__llamero_in ${name}" -l ${flag.slice(2)}`];
  if (short !== undefined) parts.push(`-s ${short}`);
  if (completion === "files") parts.push("-r -F");
  else if (completion !== "nothing") parts.push(`-x -a ${quote(completion.join(" "))}`);
  else if (value !== undefined) parts.push("-x");
  return [...parts, `-d ${quote(doc)}`].join(" ");
}

function argumentLines(command: CommandWords): string[] {
  const completion = command.arguments[0]?.completion ?? "nothing";
  const base = `complete -c llamero -n "__llamero_in ${command.name}"`;
  if (completion === "files") return [`${base} -F`];
  return completion === "nothing" ? [] : [`${base} -a ${quote(completion.join(" "))}`];
}

/** Writes the completion script of fish. */
export function fishCompletion({ words, parents, commands }: ProgramWords): string {
  const first = words.map(([word, summary]) =>
    `complete -c llamero -n "__llamero_at 1" -a ${word} -d ${quote(summary)}`
  );
  const second = parents.flatMap((parent) =>
    commands.filter((command) => command.name.startsWith(`${parent} `)).map((command) => {
      const word = command.name.slice(parent.length + 1);
      const condition = `__llamero_at 2; and __llamero_in ${parent}`;
      return `complete -c llamero -n "${condition}" -a ${word} -d ${quote(command.summary)}`;
    })
  );
  return [
    "# fish completion for llamero; made by: llamero completions fish",
    "function __llamero_in --description 'whether the first words are these'",
    "    set -l typed (commandline -opc)",
    "    test (count $typed) -gt (count $argv); or return 1",
    "    set -l last (math (count $argv) + 1)",
    '    test "$typed[2..$last]" = "$argv"',
    "end",
    "function __llamero_at --description 'whether this many words have been typed'",
    "    test (count (commandline -opc)) -eq $argv[1]",
    "end",
    "complete -c llamero -f",
    "complete -c llamero -n \"__llamero_at 1\" -l version -d 'print the version'",
    "complete -c llamero -n \"__llamero_at 1\" -s h -l help -d 'show this help'",
    ...first,
    ...second,
    ...commands.flatMap((command) => [
      ...command.flags.map((flag) => flagLine(command.name, flag)),
      ...argumentLines(command),
    ]),
    "",
  ].join("\n");
}
