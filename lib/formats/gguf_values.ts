/**
 * Metadata of a GGUF file by the type that a reader wants: absent keys give `undefined`, other types are refused.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import type { GgufValue } from "./gguf_types.ts";
import { refusal } from "./tensor_file.ts";

/** The part of a GGUF file that the functions here need. */
export interface GgufMetadata {
  /** The path, for messages. */
  readonly path: string;
  /** Keys and values. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

function wrongType(file: GgufMetadata, key: string, value: GgufValue, wanted: string): Error {
  const type = value.type === "array" ? `array of ${value.of}` : value.type;
  const shown = value.type === "array" || value.type === "string" ? "" : ` (${value.value})`;
  return refusal(file.path, `the key ${quoted(key)} is of type ${type}${shown}, wanted ${wanted}`);
}

/** A key of any integer type as a number; beyond 2^53 it is refused. */
export function ggufInteger(file: GgufMetadata, key: string): number | undefined {
  const found = file.metadata.get(key);
  if (found === undefined) return undefined;
  switch (found.type) {
    case "u8":
    case "i8":
    case "u16":
    case "i16":
    case "u32":
    case "i32":
      return found.value;
    case "u64":
    case "i64":
      if (Number.isSafeInteger(Number(found.value))) return Number(found.value);
  }
  throw wrongType(file, key, found, "an integer below 2^53");
}

/** A key of type f32 or f64. */
export function ggufFloat(file: GgufMetadata, key: string): number | undefined {
  const found = file.metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === "f32" || found.type === "f64") return found.value;
  throw wrongType(file, key, found, "a float");
}

/** A key of type bool, `undefined` where it is absent. @throws {FormatError} For another type. */
export function ggufBoolean(file: GgufMetadata, key: string): boolean | undefined {
  const found = file.metadata.get(key);
  if (found === undefined || found.type === "bool") return found?.value;
  throw wrongType(file, key, found, "bool");
}

/** A key of type string, `undefined` where it is absent. @throws {FormatError} For another type. */
export function ggufString(file: GgufMetadata, key: string): string | undefined {
  const found = file.metadata.get(key);
  if (found === undefined || found.type === "string") return found?.value;
  throw wrongType(file, key, found, "string");
}

/** A key that is an array of strings. */
export function ggufStrings(file: GgufMetadata, key: string): readonly string[] | undefined {
  const found = file.metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === "array" && found.of === "string") return found.value;
  throw wrongType(file, key, found, "an array of strings");
}

/** A key that is an array of f32. */
export function ggufFloats(file: GgufMetadata, key: string): Float32Array | undefined {
  const found = file.metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === "array" && found.of === "f32") return found.value;
  throw wrongType(file, key, found, "an array of f32");
}

/** A key that is an array of i32 or u32. */
export function ggufIntegers(
  file: GgufMetadata,
  key: string,
): Int32Array | Uint32Array | undefined {
  const found = file.metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === "array" && (found.of === "i32" || found.of === "u32")) return found.value;
  throw wrongType(file, key, found, "an array of i32 or u32");
}
