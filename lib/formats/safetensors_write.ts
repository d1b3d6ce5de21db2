/**
 * Writing safetensors files, streaming and atomically, one or many shards.
 *
 * The bytes are those that the reference implementation writes: tensors sorted by the width of their type, widest
 * first, then by name, and the header padded with spaces to a multiple of 8.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { AtomicFile, type AtomicFileOptions, checkOutputPath } from "../base/atomic_file.ts";
import { quoted } from "../base/quoted.ts";
import { elementsOf, tensorBytes } from "./file_dtype.ts";
import { SAFETENSORS_DTYPES } from "./safetensors.ts";
import type { TensorSource } from "./tensor_file.ts";
import { writeTensorBytes } from "./write_tensor.ts";

/** How safetensors are written. */
export interface WriteSafetensorsOptions extends AtomicFileOptions {
  /** Entries of `__metadata__`; Hugging Face's loaders want `format: "pt"`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** How a sharded model is written. */
export interface WriteShardsOptions extends WriteSafetensorsOptions {
  /** Most bytes of tensors in one file; a tensor that is larger gets a file of its own. Default: no limit. */
  readonly shardBytes?: number | undefined;
}

/** A tensor with its place in the data. */
interface Placed {
  readonly source: TensorSource;
  readonly begin: number;
  readonly end: number;
}

function place(tensors: readonly TensorSource[]): Placed[] {
  const rank = (tensor: TensorSource): number => SAFETENSORS_DTYPES.indexOf(tensor.dtype);
  const sorted = [...tensors].sort((a, b) => rank(b) - rank(a) || compareBytes(a.name, b.name));
  let begin = 0;
  return sorted.map((source) => {
    const bytes = sourceBytes(source);
    const placed = { source, begin, end: begin + bytes };
    begin += bytes;
    return placed;
  });
}

/** Refuses what no file can hold, before anything is written. */
function checkNames(tensors: readonly TensorSource[]): void {
  const names = new Set<string>(["__metadata__"]);
  for (const { name } of tensors) {
    if (names.has(name)) {
      throw new TypeError(`Two tensors are named ${quoted(name)}, or the name is reserved`);
    }
    names.add(name);
  }
}

/** Orders names as the reference does: by their UTF-8 bytes, which is by code point. */
function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** The bytes of a source as the format stores it; a type that safetensors lacks is the caller's mistake. */
function sourceBytes(source: IndexedShard["tensors"][number]): number {
  const bytes = SAFETENSORS_DTYPES.includes(source.dtype)
    ? tensorBytes(source.dtype, source.shape)
    : undefined;
  if (bytes !== undefined) return bytes;
  const what = elementsOf(source.shape) === undefined
    ? `shape [${source.shape}]`
    : `type ${source.dtype}`;
  throw new TypeError(`safetensors cannot hold tensor ${quoted(source.name)} with ${what}`);
}

function encodeHeader(
  tensors: readonly Placed[],
  metadata: WriteSafetensorsOptions["metadata"],
): Uint8Array {
  const fields: string[] = [];
  if (metadata !== undefined) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  for (const { source, begin, end } of tensors) {
    const entry = {
      dtype: source.dtype.toUpperCase(),
      shape: source.shape,
      data_offsets: [begin, end],
    };
    fields.push(`${JSON.stringify(source.name)}:${JSON.stringify(entry)}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

/** Writes everything into an open file, which the caller commits. */
async function writeInto(
  file: AtomicFile,
  tensors: readonly TensorSource[],
  metadata: WriteSafetensorsOptions["metadata"],
): Promise<void> {
  const placed = place(tensors);
  file.write(encodeHeader(placed, metadata));
  for (const { source } of placed) await writeTensorBytes(file, source);
  file.finish();
}

/**
 * Writes one safetensors file; the data of each tensor is asked for when its turn has come, so memory holds one chunk.
 *
 * Throws `LlameroError` where the path exists (without `force`) or cannot be written, and leaves nothing behind.
 *
 * @example
 * ```ts
 * await writeSafetensors("one.safetensors", [
 *   { name: "x", dtype: "f32", shape: [2], data: new Uint8Array(8) },
 * ], { force: true, metadata: { format: "pt" } });
 * ```
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  options: WriteSafetensorsOptions = {},
): Promise<void> {
  checkNames(tensors);
  using file = AtomicFile.create(path, options);
  await writeInto(file, tensors, options.metadata);
  file.commit();
}

/** Cuts tensors, in their order, into runs of at most `shardBytes`. */
function cut(tensors: readonly TensorSource[], shardBytes: number): TensorSource[][] {
  const shards: TensorSource[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const bytes = sourceBytes(tensor);
    if (bytes > room || shards.length === 0) {
      shards.push([]);
      room = shardBytes;
    }
    shards.at(-1)!.push(tensor);
    room -= bytes;
  }
  return shards.length === 0 ? [[]] : shards;
}

/**
 * Writes a Hugging Face model's weights into a folder: `model.safetensors`, or, where they pass `shardBytes`,
 * `model-00001-of-0000N.safetensors` and so on with `model.safetensors.index.json`.
 *
 * The files get their names after all of them are complete, the index last; returns the names.
 */
export async function writeSafetensorsShards(
  folder: string,
  tensors: readonly TensorSource[],
  options: WriteShardsOptions = {},
): Promise<string[]> {
  checkNames(tensors);
  const shards = cut(tensors, options.shardBytes ?? Infinity);
  const total = String(shards.length).padStart(5, "0");
  const names = shards.length === 1
    ? ["model.safetensors"]
    : shards.map((_, i) => `model-${String(i + 1).padStart(5, "0")}-of-${total}.safetensors`);
  const indexName = "model.safetensors.index.json";
  for (const name of [...names, indexName]) checkOutputPath(join(folder, name), options);
  using files = new DisposableStack();
  const written: AtomicFile[] = [];
  for (const [i, name] of names.entries()) {
    const file = files.use(AtomicFile.create(join(folder, name), options));
    await writeInto(file, shards[i]!, options.metadata);
    written.push(file);
  }
  if (shards.length > 1) {
    const index = files.use(AtomicFile.create(join(folder, indexName), options));
    index.write(encodeSafetensorsIndex(
      shards.map((tensors, i) => ({ name: names[i]!, tensors })),
    ));
    written.push(index);
    names.push(indexName);
  }
  for (const file of written) file.commit();
  // An index of the model that stood here before would win over the single file.
  if (shards.length === 1) fs.rmSync(join(folder, indexName), { force: true });
  return names;
}

/** One file of a sharded model. */
export interface IndexedShard {
  /** The file's name. */
  readonly name: string;
  /** What the file holds, in any order. */
  readonly tensors: readonly Pick<TensorSource, "name" | "dtype" | "shape">[];
}

/** The index of a sharded model: which file has which tensor, and the bytes of all. */
export function encodeSafetensorsIndex(files: readonly IndexedShard[]): Uint8Array {
  const places = files.flatMap((file) =>
    file.tensors.map((tensor) => [tensor.name, file.name] as const)
  );
  const total = files.flatMap((file) => file.tensors)
    .reduce((sum, tensor) => sum + sourceBytes(tensor), 0);
  // Written by hand, not from an object: a tensor may be named __proto__.
  const entries = places.sort(([a], [b]) => compareBytes(a, b)).map(([tensor, file]) =>
    `    ${JSON.stringify(tensor)}: ${JSON.stringify(file)}`
  );
  return new TextEncoder().encode(
    `{\n  "metadata": {\n    "total_size": ${total}\n  },\n  "weight_map": {\n${
      entries.join(",\n")
    }\n  }\n}\n`,
  );
}
