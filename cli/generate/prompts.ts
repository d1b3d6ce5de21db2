/**
 * Many prompts in one file.
 *
 * @module
 */

import { FormatError } from "../../lib/base/errors.ts";
import { quoted, quotedPath } from "../../lib/base/quoted.ts";
import type { Io } from "../io.ts";
import { readText } from "../text_input.ts";

/**
 * Reads JSON Lines, each a string or an object with `"prompt"` (or `"text"`); blank lines are skipped.
 *
 * @throws {FormatError} Naming the line that is something else.
 */
export async function readPrompts(path: string, io: Io): Promise<string[]> {
  const prompts: string[] = [];
  const lines = (await readText(path, io)).split("\n");
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const prompt = promptOf(line);
    if (prompt === undefined) {
      const name = path === "-" ? "stdin" : quotedPath(path);
      throw new FormatError(
        `Cannot read ${name}: line ${i + 1} is ${quoted(line, 60)}, ` +
          'and a JSON string or an object with "prompt" was wanted',
        { file: path, hint: 'write each prompt as {"prompt": "…"} on a line of its own' },
      );
    }
    prompts.push(prompt);
  }
  return prompts;
}

function promptOf(line: string): string | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "string") return value;
    const { prompt, text } = (value ?? {}) as { prompt?: unknown; text?: unknown };
    const found = prompt ?? text;
    return typeof found === "string" ? found : undefined;
  } catch {
    return undefined;
  }
}
