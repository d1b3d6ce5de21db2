/**
 * Small JSON files beside a model's weights.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { type JsonValue, parseStrictJson } from "../base/json_scanner.ts";
import { quotedPath } from "../base/quoted.ts";
import { InputFile } from "../formats/input_file.ts";

/** Configs are a few kilobytes; what is far larger is something else. */
const LARGEST = 16 * 2 ** 20;

/**
 * Reads and parses a JSON file; a byte order mark is passed over.
 *
 * @throws {ConfigError} Where it is no JSON, has a key twice or is too large; the message says where.
 */
export function readJsonFile(path: string): unknown {
  using file = InputFile.open(path);
  const refuse = (what: string) => new ConfigError(`Cannot read ${quotedPath(path)}: ${what}`);
  if (file.size > LARGEST) {
    throw refuse(`it has ${file.size} bytes, at most ${LARGEST} was wanted of a config`);
  }
  if (file.size === 0) throw refuse("it is empty, a JSON object was wanted");
  const bytes = file.read(0, file.size);
  const mark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const text = bytes.subarray(mark);
  return plain(parseStrictJson(text, (what, at) => refuse(`${what} (at byte ${at + mark})`)));
}

function plain(value: JsonValue): unknown {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  }
  return Array.isArray(value) ? value.map(plain) : value;
}

/** A value as the text of a JSON file for people: indented, with a line break at its end. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
