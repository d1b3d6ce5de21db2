/**
 * Text that a command reads from a file or from stdin.
 *
 * @module
 */

import { open } from "node:fs/promises";
import { FormatError } from "../lib/base/errors.ts";
import { fileError } from "../lib/base/file_error.ts";
import { joined } from "../lib/base/joined.ts";
import { quotedPath } from "../lib/base/quoted.ts";
import { characterLength } from "../lib/base/utf8.ts";
import type { Io } from "./io.ts";

/** Bytes that always fit into one string of JavaScript. */
const LONGEST = 2 ** 29 - 24;

const PART_BYTES = 1 << 20;

/**
 * Reads a whole text of up to `most` bytes, from stdin where the path is `-`. What is longer is seen
 * before it is read, and a stream or device that does not end where it is too long.
 *
 * @throws {FormatError} Where it is longer, or with the first byte that is not UTF-8, and its offset.
 */
export async function readText(
  path: string,
  io: Io,
  { most = LONGEST }: { readonly most?: number } = {},
): Promise<string> {
  const bytes = path === "-"
    ? await collected(io.stdin.readable(), { path, most })
    : await readBytes(path, most);
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

async function readBytes(path: string, most: number): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    const stat = await file.stat();
    if (stat.isFile() && stat.size > most) throw tooLong(path, most);
    const parts = async function* () {
      for (;;) {
        const part = new Uint8Array(PART_BYTES);
        const { bytesRead } = await file.read(part, 0, part.length);
        if (bytesRead === 0) return;
        yield part.subarray(0, bytesRead);
      }
    };
    return await collected(parts(), { path, most });
  } catch (thrown) {
    throw fileError(thrown, { action: "read", path });
  }
}

async function collected(
  parts: AsyncIterable<Uint8Array>,
  { path, most }: { readonly path: string; readonly most: number },
): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of parts) {
    bytes += part.length;
    if (bytes > most) throw tooLong(path, most);
    all.push(part);
  }
  return joined(Uint8Array, all);
}

function tooLong(path: string, most: number): FormatError {
  const name = path === "-" ? "stdin" : quotedPath(path);
  return new FormatError(
    `Cannot read ${name}: it has more than ${most} bytes, a shorter text was wanted`,
    { file: path },
  );
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
