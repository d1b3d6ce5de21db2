/**
 * Reading GGUF, version 3 (and 2, which differs in its number only): metadata and tensor records.
 *
 * `"GGUF" | u32 version | u64 tensors | u64 keys | keys with values | tensor infos | padding | data`, little-endian;
 * extents stand innermost first; a tensor's offset must be the padded sum of those before it (ggml's `docs/gguf.md`).
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { ByteReader } from "./byte_reader.ts";
import { blockOf, elementsOf, padded, tensorBytes } from "./file_dtype.ts";
import {
  GGUF_ALIGNMENT,
  GGUF_LARGEST_ALIGNMENT,
  GGUF_MOST_AXES,
  GGUF_NAME_BYTES,
  ggufDtype,
  type GgufValue,
} from "./gguf_types.ts";
import { readGgufMetadata } from "./gguf_metadata.ts";
import { joinSplits } from "./gguf_split.ts";
import { InputFile } from "./input_file.ts";
import { MOST_TENSORS, refusal, type TensorRecord } from "./tensor_file.ts";

/** What a GGUF file, or all the files of a split one, holds. */
export interface GgufFile {
  /** The path as the user named it: of a split model the first file. */
  readonly path: string;
  /** The version of the format: 2 or 3. */
  readonly version: number;
  /** Keys and values in the order of the file. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Tensors by name, in the order of the file. */
  readonly records: ReadonlyMap<string, TensorRecord>;
  /** Each tensor begins at a multiple of this many bytes of the data. */
  readonly alignment: number;
  /** The paths that hold the tensors: more than one for a split model. */
  readonly files: readonly string[];
}

/** The least a tensor info takes: length of the name, number of axes, type and offset. */
const LEAST_INFO = 8 + 4 + 4 + 8;

/**
 * Reads the metadata and tensor records of a GGUF model and checks them against the file; a split model
 * (`…-00001-of-0000N.gguf`) is read whole from its first file. Throws `FormatError` naming file, key or tensor.
 *
 * @example
 * ```ts
 * const file = await readGguf("model.gguf");
 * console.log(file.metadata.get("general.architecture")?.value);
 * ```
 */
// deno-lint-ignore require-await -- the promise is the seam: callers must not depend on the reading being synchronous
export async function readGguf(path: string): Promise<GgufFile> {
  return joinSplits(readGgufPart(path), readGgufPart);
}

/** Reads one file by itself, a part of a split model or a whole one. */
function readGgufPart(path: string): GgufFile {
  using file = InputFile.open(path);
  const reader = new ByteReader(file);
  const version = readVersion(file, reader);
  const tensors = reader.count(1, "the number of tensors");
  if (tensors > MOST_TENSORS || tensors * LEAST_INFO > reader.remaining) {
    throw reader.refuse(
      `the number of tensors is ${tensors}, more than ${reader.remaining} bytes can describe`,
      8,
    );
  }
  const metadata = readGgufMetadata(reader);
  const alignment = alignmentOf(path, metadata);
  const infos: Info[] = [];
  const names = new Set<string>();
  let next = 0;
  for (let i = 0; i < tensors; i++) {
    const info = readInfo(reader, i, next);
    if (names.has(info.name)) throw reader.refuse(`tensor ${quoted(info.name)} stands there twice`);
    names.add(info.name);
    next = padded(next + info.bytes, alignment);
    infos.push(info);
  }
  const records = place(file, infos, padded(reader.position, alignment));
  return { path, version, metadata, records, alignment, files: [path] };
}

/** Checks magic and version, and names what the file is instead. */
function readVersion(file: InputFile, reader: ByteReader): number {
  if (file.size < 24) {
    throw refusal(file.path, `it has ${file.size} bytes, and a GGUF file has at least 24`);
  }
  const magic = String.fromCharCode(...reader.bytes(4, "the magic"));
  if (["lmgg", "fmgg", "tjgg"].includes(magic)) {
    throw reader.refuse("it is a GGML file from before GGUF, which is not read", 0);
  }
  if (magic !== "GGUF") {
    throw refusal(file.path, `it begins with ${quoted(magic)}, wanted "GGUF"`, {
      offset: 0,
      hint: "the file is probably not a GGUF file",
    });
  }
  const version = reader.u32("the version");
  if (version !== 0 && (version & 0xffff) === 0) {
    throw refusal(file.path, "it is a big-endian GGUF file, and only little-endian ones are read", {
      offset: 4,
      hint: "swap it first: gguf-convert-endian FILE little (of the Python package gguf)",
    });
  }
  if (version !== 2 && version !== 3) {
    throw reader.refuse(`its GGUF version is ${version}, wanted 2 or 3`, 4);
  }
  return version;
}

function alignmentOf(path: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const stated = metadata.get("general.alignment");
  if (stated === undefined) return GGUF_ALIGNMENT;
  if (stated.type !== "u32") {
    throw refusal(path, `the key "general.alignment" has type ${stated.type}, wanted u32`);
  }
  const { value } = stated;
  if (value === 0 || value > GGUF_LARGEST_ALIGNMENT || (value & (value - 1)) !== 0) {
    throw refusal(
      path,
      `the key "general.alignment" is ${value}, wanted a power of two up to ${GGUF_LARGEST_ALIGNMENT}`,
    );
  }
  return value;
}

/** A tensor as its info describes it. */
interface Info {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly offset: number;
}

function readInfo(reader: ByteReader, index: number, expected: number): Info {
  const start = reader.position;
  const name = reader.string(`the name of tensor ${index}`);
  const length = reader.position - start - 8;
  // deno-lint-ignore no-control-regex -- control characters are what this looks for
  if (length === 0 || length >= GGUF_NAME_BYTES || /[\u0000-\u001f\u007f]/.test(name)) {
    throw reader.refuse(
      `the name of tensor ${index} is ${quoted(name)}, wanted 1 to ${
        GGUF_NAME_BYTES - 1
      } bytes of text`,
      start,
    );
  }
  const what = `tensor ${quoted(name)}`;
  const shape = readShape(reader, what);
  const code = reader.u32(`the type of ${what}`);
  const dtype = ggufDtype(code);
  if (dtype === undefined) {
    throw reader.refuse(`${what} has the unknown type ${code}`, reader.position - 4);
  }
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined) throw reader.refuse(`${what} ${whyNoSize(dtype, shape)}`, start);
  const offset = reader.u64(`the offset of ${what}`);
  if (offset !== BigInt(expected)) {
    throw reader.refuse(
      `${what} is at offset ${offset}, wanted ${expected}, where the tensor before it ends`,
      reader.position - 8,
    );
  }
  return { name, dtype, shape, bytes, offset: expected };
}

function readShape(reader: ByteReader, what: string): number[] {
  const axes = reader.u32(`the number of axes of ${what}`);
  if (axes > GGUF_MOST_AXES) {
    throw reader.refuse(
      `${what} has ${axes} axes, wanted at most ${GGUF_MOST_AXES}`,
      reader.position - 4,
    );
  }
  const shape: number[] = [];
  for (let axis = 0; axis < axes; axis++) {
    const extent = reader.u64(`an extent of ${what}`);
    if (extent === 0n || extent > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw reader.refuse(
        `${what} has the extent ${extent}, wanted 1 to 2^53 - 1`,
        reader.position - 8,
      );
    }
    shape.unshift(Number(extent));
  }
  return shape;
}

function whyNoSize(dtype: string, shape: readonly number[]): string {
  const block = blockOf(dtype)?.elements ?? 1;
  const row = shape.at(-1) ?? 1;
  if (elementsOf(shape) !== undefined && row % block !== 0) {
    return `has rows of ${row} elements, and ${dtype} wants a multiple of ${block}`;
  }
  return `of shape [${shape.join(", ")}] has 2^53 bytes or more`;
}

/** Turns offsets into positions and checks that the file has the data. */
function place(
  file: InputFile,
  infos: readonly Info[],
  dataStart: number,
): Map<string, TensorRecord> {
  const records = new Map<string, TensorRecord>();
  for (const { name, dtype, shape, bytes, offset } of infos) {
    const position = dataStart + offset;
    if (position + bytes > file.size) {
      throw refusal(
        file.path,
        `tensor ${quoted(name)} ends at byte ${position + bytes}, and the file has ${file.size}`,
        { offset: position, hint: "the file is cut short: fetch or copy it again" },
      );
    }
    records.set(name, { name, dtype, shape, file: file.path, offset: position, bytes });
  }
  return records;
}
