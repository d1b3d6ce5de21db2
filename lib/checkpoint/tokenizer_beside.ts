/**
 * Whether a model's folder has a tokenizer.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";

const NAMES = ["tokenizer.model", "tokenizer.json", "tokenizer.bin"];

/** `{ tokenizerPath }` for the first folder that has a tokenizer file, else nothing. */
export function tokenizerBeside(...folders: readonly string[]): { tokenizerPath?: string } {
  const tokenizerPath = folders.find((folder) =>
    NAMES.some((name) => existsSync(join(folder, name)))
  );
  return tokenizerPath === undefined ? {} : { tokenizerPath };
}
