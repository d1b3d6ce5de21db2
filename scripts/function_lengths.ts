/**
 * Finds the functions of Rust and CUDA sources and how long they are, by matching braces outside
 * strings and comments. (`scripts/lint_plugin.ts` does it for TypeScript, on the syntax tree.)
 *
 * @module
 */

/** One function of a source file. */
export interface FunctionLength {
  /** Its name. */
  readonly name: string;
  /** Line on which it begins, from 1. */
  readonly line: number;
  /** Number of its lines, from its name to its closing brace. */
  readonly lines: number;
}

/** Comments, strings and character literals; a lifetime such as `'a` is none of them. */
const OPAQUE =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|r(#*)"[\s\S]*?"\1|"(?:\\[\s\S]|[^"\\])*"|'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])'/g;

/** Replaces what is opaque by spaces, line ends kept. */
function visible(text: string): string {
  return text.replace(OPAQUE, (found) => found.replace(/[^\n]/g, " "));
}

/** A language whose functions can be found. */
export type Language = "rust" | "cuda";

/** What opens a function: in Rust the word `fn`; in CUDA a name, arguments and a brace. */
const OPENS: Readonly<Record<Language, RegExp>> = {
  rust: /\bfn\s+(\w+)/,
  cuda:
    /\b(?!(?:if|for|while|switch|catch|defined)\b)(\w+)\s*\([^;{}]*\)\s*(?:const|noexcept)?\s*$/,
};

/** Lists the functions of a source text in the order in which they end. */
export function functionLengths(text: string, language: Language): FunctionLength[] {
  const source = visible(text);
  const found: FunctionLength[] = [];
  const open: ({ name: string; line: number } | undefined)[] = [];
  let line = 1;
  let statement = "";
  let statementLine = 1;
  for (const character of source) {
    if (character === "{") {
      const match = OPENS[language].exec(statement);
      const before = match === null ? "" : statement.slice(0, match.index);
      const inside = language === "cuda" && open.some((function_) => function_ !== undefined);
      const at = statementLine + before.split("\n").length - 1;
      open.push(match === null || inside ? undefined : { name: match[1]!, line: at });
    } else if (character === "}") {
      const closed = open.pop();
      if (closed !== undefined) found.push({ ...closed, lines: line - closed.line + 1 });
    }
    if (character === "\n") line++;
    if (character === "{" || character === "}" || character === ";") {
      statement = "";
      statementLine = line;
    } else {
      statement += character;
    }
  }
  return found;
}
