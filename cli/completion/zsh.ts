/**
 * The completion script of zsh.
 *
 * @module
 */

import type { ArgumentWords, CommandWords, Completion, FlagWords, ProgramWords } from "./words.ts";

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const escape = (text: string) => text.replace(/[\\[\]:]/g, "\\$&");

function action(completion: Completion): string {
  if (completion === "files") return "_files";
  return completion === "nothing" ? " " : `(${completion.join(" ")})`;
}

function flagLine({ flag, short, doc, value, completion, repeat }: FlagWords): string {
  const rest = `[${escape(doc)}]` +
    (value === undefined ? "" : `:${escape(value)}:${action(completion)}`);
  const equals = value === undefined ? "" : "=";
  if (repeat) return quote(`*${flag}${equals}${rest}`);
  if (short === undefined) return quote(`${flag}${equals}${rest}`);
  return `'(-${short} ${flag})'{-${short},${flag}${equals}}${quote(rest)}`;
}

function argumentLine({ value, completion, rest }: ArgumentWords): string {
  return quote(`${rest ? "*" : ""}:${escape(value)}:${action(completion)}`);
}

function functionName(name: string): string {
  return `_llamero_${name.replaceAll(/[ -]/g, "_")}`;
}

function commandFunction(command: CommandWords): string[] {
  const lines = [...command.flags.map(flagLine), ...command.arguments.map(argumentLine)];
  return [
    `${functionName(command.name)}() {`,
    "  _arguments -s \\",
    ...lines.map((line, i) => `    ${line}${i === lines.length - 1 ? "" : " \\"}`),
    "}",
    "",
  ];
}

/** A function that completes one word out of a list and hands over to the function of that word. */
function chooser(
  name: string,
  entries: readonly (readonly [word: string, summary: string])[],
): string[] {
  const prefix = name === "_llamero" ? "_llamero_" : `${name}_`;
  return [
    `${name}() {`,
    "  local line state",
    "  local -a words_of",
    "  words_of=(",
    ...entries.map(([word, summary]) => `    ${quote(`${escape(word)}:${summary}`)}`),
    "  )",
    "  _arguments -C '(- *)'{-h,--help}'[show this help]' ':command:->command' '*::argument:->rest'",
    "  case $state in",
    "    command) _describe command words_of ;;",
    "    rest)",
    "      case $line[1] in",
    ...entries.map(([word]) => `        ${word}) ${prefix}${word.replaceAll("-", "_")} ;;`),
    "      esac ;;",
    "  esac",
    "}",
    "",
  ];
}

/** Writes the completion script of zsh. */
export function zshCompletion({ words, parents, commands }: ProgramWords): string {
  const nested = parents.flatMap((parent) => {
    const entries = commands.filter((command) => command.name.startsWith(`${parent} `))
      .map((command) => [command.name.slice(parent.length + 1), command.summary] as const);
    return chooser(functionName(parent), entries);
  });
  return [
    "#compdef llamero",
    "# zsh completion for llamero; made by: llamero completions zsh",
    "",
    ...commands.flatMap(commandFunction),
    ...nested,
    ...chooser("_llamero", words),
    'if [ "$funcstack[1]" = "_llamero" ]; then',
    '  _llamero "$@"',
    "else",
    "  compdef _llamero llamero",
    "fi",
    "",
  ].join("\n");
}
