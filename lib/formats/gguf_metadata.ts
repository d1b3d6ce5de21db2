/**
 * The keys and values at the head of a GGUF file.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import type { ByteReader } from "./byte_reader.ts";
import {
  GGUF_VALUE_TYPES,
  GGUF_WIDTHS,
  type GgufArray,
  type GgufScalarType,
  type GgufValue,
} from "./gguf_types.ts";

/** Keys beyond this number are refused; real files have some dozens. */
const MOST_KEYS = 1 << 16;

/** More strings in all arrays together are refused; the largest vocabularies with their merges have below a million. */
const MOST_STRINGS = 1 << 21;

/**
 * Keys of more bytes are refused, though the format allows 65535: the engine hashes texts of more than
 * 16383 characters by their length alone, so that a map of such keys would take quadratic time.
 */
const KEY_BYTES = 8192;

/** The least that a key with its value takes: a length, one character, a type and a byte. */
const LEAST_ENTRY = 8 + 1 + 4 + 1;

/** Reads the number of keys and then all of them; the cursor stands behind the number of tensors. */
export function readGgufMetadata(reader: ByteReader): Map<string, GgufValue> {
  const start = reader.position;
  const count = reader.count(1, "the number of keys");
  if (count > MOST_KEYS || count * LEAST_ENTRY > reader.remaining) {
    throw reader.refuse(
      `the number of keys is ${count}, more than ${reader.remaining} bytes can hold or than is read`,
      start,
    );
  }
  const metadata = new Map<string, GgufValue>();
  const budget = { strings: MOST_STRINGS };
  for (let i = 0; i < count; i++) {
    const at = reader.position;
    const key = reader.string(`the name of key ${i}`);
    // deno-lint-ignore no-control-regex -- control characters are what this looks for
    if (key === "" || reader.position - at - 8 > KEY_BYTES || /[\u0000-\u001f\u007f]/.test(key)) {
      throw reader.refuse(
        `the name of key ${i} is ${quoted(key)}, wanted 1 to ${KEY_BYTES} bytes of text`,
        at,
      );
    }
    if (metadata.has(key)) throw reader.refuse(`the key ${quoted(key)} stands there twice`, at);
    metadata.set(key, readValue(reader, `the key ${quoted(key)}`, budget));
  }
  return metadata;
}

function readType(reader: ByteReader, what: string): GgufValue["type"] {
  const code = reader.u32(`the type of ${what}`);
  const type = GGUF_VALUE_TYPES[code];
  if (type === undefined) {
    throw reader.refuse(`${what} has the unknown type ${code}`, reader.position - 4);
  }
  return type;
}

/** How many strings may still come. */
interface Budget {
  strings: number;
}

function readValue(reader: ByteReader, what: string, budget: Budget): GgufValue {
  const type = readType(reader, what);
  switch (type) {
    case "array":
      return readArray(reader, what, budget);
    case "bool":
      return { type, value: readBool(reader, what) };
    case "string":
      return { type, value: reader.string(what) };
    case "u64":
    case "i64":
      return { type, value: reader[type](what) };
    default:
      return { type, value: reader[type](what) };
  }
}

function readBool(reader: ByteReader, what: string): boolean {
  const byte = reader.u8(what);
  if (byte > 1) {
    throw reader.refuse(`${what} is the bool ${byte}, wanted 0 or 1`, reader.position - 1);
  }
  return byte === 1;
}

function readArray(reader: ByteReader, what: string, budget: Budget): GgufArray {
  const of = readType(reader, `the elements of ${what}`);
  if (of === "array") {
    throw reader.refuse(`${what} is an array of arrays, which is not read`, reader.position - 4);
  }
  const count = reader.count(GGUF_WIDTHS[of], `the number of elements of ${what}`);
  if (of === "string") {
    budget.strings -= count;
    if (budget.strings < 0) {
      throw reader.refuse(
        `${what} has ${count} strings, and at most ${MOST_STRINGS} are read of a file`,
      );
    }
    const element = `an element of ${what}`;
    const value = Array.from({ length: count }, () => reader.string(element));
    return { type: "array", of, value };
  }
  const start = reader.position;
  const { buffer } = reader.copy(count * GGUF_WIDTHS[of], what);
  if (of === "bool") {
    const value = new Uint8Array(buffer);
    const bad = value.findIndex((byte) => byte > 1);
    if (bad >= 0) {
      throw reader.refuse(`${what} has the bool ${value[bad]}, wanted 0 or 1`, start + bad);
    }
    return { type: "array", of, value };
  }
  return { type: "array", of, value: new TYPED[of](buffer) } as GgufArray;
}

/** The array class of each type of numbers. */
const TYPED: Readonly<
  Record<Exclude<GgufScalarType, "string" | "bool">, new (buffer: ArrayBuffer) => unknown>
> = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f64: Float64Array,
};
