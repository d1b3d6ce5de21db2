/**
 * Texts that a command is called with: files, and stdin for `-`.
 *
 * @module
 */

import { statSync } from "node:fs";
import { fileError } from "../lib/base/file_error.ts";
import type { TextInput } from "../lib/formats/text_chunks.ts";
import type { Io } from "./io.ts";

/** Texts, and how much there is to read. */
export interface NamedTexts {
  /** The texts in their order. */
  readonly inputs: readonly TextInput[];
  /** Bytes of all files as they are stored; unknown where one is a stream. */
  readonly total: number | undefined;
}

/** The texts of these names. @throws {LlameroError} If one is not there: hours before it is read. */
export function namedTexts(names: readonly string[], io: Io): NamedTexts {
  let total: number | undefined = 0;
  const inputs = names.map((name): TextInput => {
    if (name === "-") {
      total = undefined;
      return { name: "stdin", stream: io.stdin.readable() };
    }
    const size = sizeOf(name);
    total = total === undefined || size === undefined ? undefined : total + size;
    return { name };
  });
  return { inputs, total };
}

/** Size of a file; `undefined` for a pipe or device. */
function sizeOf(path: string): number | undefined {
  try {
    const found = statSync(path);
    if (found.isDirectory()) throw Object.assign(new Error("a folder"), { code: "EISDIR" });
    return found.isFile() ? found.size : undefined;
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
}
