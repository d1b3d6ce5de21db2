/**
 * The completion script of bash, from 3.2 (macOS) on.
 *
 * @module
 */

import type { CommandWords, Completion, ProgramWords } from "./words.ts";

function action(completion: Completion): string {
  if (completion === "files") return "_llamero_files";
  return completion === "nothing" ? ":" : `_llamero_words "${completion.join(" ")}"`;
}

/** After a flag that takes a value: what completes the value. */
function valueCases(command: CommandWords): string[] {
  return command.flags.filter((flag) => flag.value !== undefined).map((flag) => {
    const short = flag.short === undefined ? "" : `|"${command.name} -${flag.short}"`;
    return `    "${command.name} ${flag.flag}"${short}) ${action(flag.completion)}; return ;;`;
  });
}

/** Elsewhere: flags where a dash was typed, else what completes the arguments. */
function wordCases(command: CommandWords): string[] {
  const flags = command.flags.map((flag) => flag.flag).join(" ");
  const completion = command.arguments[0]?.completion ?? "nothing";
  return [
    `    "${command.name}")`,
    `      case "$cur" in`,
    `        -*) _llamero_words "${flags}" ;;`,
    `        *) ${action(completion)} ;;`,
    "      esac ;;",
  ];
}

/** Writes the completion script of bash. */
export function bashCompletion({ words, parents, commands }: ProgramWords): string {
  const subs = parents.map((parent) => {
    const names = commands.filter((command) => command.name.startsWith(`${parent} `))
      .map((command) => command.name.slice(parent.length + 1));
    return `      ${parent}) _llamero_words "${names.join(" ")}"; return ;;`;
  });
  const nested = parents.length === 0 ? [] : [
    '  case "$command" in',
    `    ${parents.join("|")})`,
    '      if [ "$COMP_CWORD" -gt 2 ]; then command="$command ${COMP_WORDS[2]}"; fi ;;',
    "  esac",
    '  if [ "$COMP_CWORD" -eq 2 ]; then',
    '    case "$command" in',
    ...subs,
    "    esac",
    "  fi",
  ];
  return [
    "# bash completion for llamero; made by: llamero completions bash",
    "_llamero_words() {",
    "  local IFS=$' \\t\\n'",
    '  COMPREPLY=($(compgen -W "$1" -- "$cur"))',
    "}",
    "_llamero_files() {",
    "  local IFS=$'\\n'",
    "  compopt -o filenames 2>/dev/null",
    '  COMPREPLY=($(compgen -f -- "$cur"))',
    "}",
    "_llamero() {",
    '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"',
    '  local command="${COMP_WORDS[1]}"',
    "  COMPREPLY=()",
    "  # --flag=value arrives as three words",
    '  if [ "$cur" = "=" ]; then cur=""; elif [ "$prev" = "=" ]; then prev="${COMP_WORDS[COMP_CWORD-2]}"; fi',
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    _llamero_words "${words.map(([word]) => word).join(" ")} --help --version"`,
    "    return",
    "  fi",
    ...nested,
    '  case "$command $prev" in',
    ...commands.flatMap(valueCases),
    "  esac",
    '  case "$command" in',
    ...commands.flatMap(wordCases),
    "  esac",
    "}",
    "complete -F _llamero llamero",
    "",
  ].join("\n");
}
