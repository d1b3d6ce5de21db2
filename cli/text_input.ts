/**
 * Text that a command reads from a file or from stdin.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { FormatError } from "../lib/base/errors.ts";
import { fileError } from "../lib/base/file_error.ts";
import { quotedPath } from "../lib/base/quoted.ts";
import { characterLength } from "../lib/base/utf8.ts";
import { type Io, readAll } from "./io.ts";

/**
 * Reads a whole text, from stdin where the path is `-`.
 *
 * @throws {FormatError} With the first byte that is not UTF-8, and its offset.
 */
export async function readText(path: string, io: Io): Promise<string> {
  const bytes = path === "-" ? await readAll(io.stdin) : await readBytes(path);
  try {
    // A byte order mark is a character like any other: whoever wants it gone says so.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const offset = firstMalformed(bytes);
    const name = path === "-" ? "stdin" : quotedPath(path);
    const byte = bytes[offset]!.toString(16).padStart(2, "0");
    throw new FormatError(`Cannot read ${name}: byte ${offset} (0x${byte}) is not UTF-8`, {
      file: path,
      offset,
      cause,
      hint: "convert it first: iconv -f LATIN1 -t UTF-8",
    });
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
}

/** Offset of the first byte that begins no well-formed character. */
function firstMalformed(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at);
    if (length <= 0) return at;
    at += length;
  }
  return bytes.length;
}
