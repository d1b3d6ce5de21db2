/**
 * Writing GGUF version 3, streaming and atomically.
 *
 * @module
 */

import { AtomicFile, type AtomicFileOptions } from "../base/atomic_file.ts";
import { quoted } from "../base/quoted.ts";
import { padded, tensorBytes } from "./file_dtype.ts";
import {
  GGUF_ALIGNMENT,
  GGUF_LARGEST_ALIGNMENT,
  GGUF_MOST_AXES,
  GGUF_NAME_BYTES,
  GGUF_VALUE_TYPES,
  ggufTypeCode,
  type GgufValue,
} from "./gguf_types.ts";
import type { TensorSource } from "./tensor_file.ts";
import { ByteWriter } from "./byte_writer.ts";
import { writeTensorBytes } from "./write_tensor.ts";

/** How a GGUF file is written. */
export interface WriteGgufOptions extends AtomicFileOptions {
  /** Keys and values, written in their order; `general.alignment` also sets the alignment. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

/**
 * Writes one GGUF file with the tensors in the given order; the data of each is asked for when its turn has come.
 *
 * Throws `LlameroError` where the path exists (without `force`) or cannot be written, and leaves nothing behind.
 */
export async function writeGguf(
  path: string,
  tensors: readonly TensorSource[],
  options: WriteGgufOptions,
): Promise<void> {
  const alignment = alignmentOf(options.metadata);
  const header = encodeHeader(tensors, options.metadata, alignment);
  using file = AtomicFile.create(path, options);
  file.write(header);
  for (const tensor of tensors) {
    const bytes = await writeTensorBytes(file, tensor);
    file.write(new Uint8Array(padded(bytes, alignment) - bytes));
  }
  file.commit();
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const stated = metadata.get("general.alignment");
  if (stated === undefined) return GGUF_ALIGNMENT;
  const value = stated.type === "u32" ? stated.value : 0;
  if (value < 1 || value > GGUF_LARGEST_ALIGNMENT || (value & (value - 1)) !== 0) {
    throw new TypeError(`The key "general.alignment" must be a u32 and a power of two`);
  }
  return value;
}

/** The bytes of a source as GGUF stores it; what the format cannot hold is the caller's mistake. */
function sourceBytes(source: TensorSource): number {
  const bytes = tensorBytes(source.dtype, source.shape);
  const fits = source.shape.length <= GGUF_MOST_AXES && !source.shape.includes(0);
  if (bytes !== undefined && fits && ggufTypeCode(source.dtype) !== undefined) return bytes;
  throw new TypeError(
    `GGUF cannot hold tensor ${quoted(source.name)} of ${source.dtype} with shape [${
      source.shape.join(", ")
    }]`,
  );
}

function encodeHeader(
  tensors: readonly TensorSource[],
  metadata: ReadonlyMap<string, GgufValue>,
  alignment: number,
): Uint8Array {
  const writer = new ByteWriter();
  writer.text("GGUF");
  writer.u32(3);
  writer.u64(BigInt(tensors.length));
  writer.u64(BigInt(metadata.size));
  for (const [key, value] of metadata) {
    writer.string(key);
    writer.u32(GGUF_VALUE_TYPES.indexOf(value.type));
    writeValue(writer, value);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const tensor of tensors) {
    writeInfo(writer, tensor, offset, names);
    offset += padded(sourceBytes(tensor), alignment);
  }
  writer.zeros(padded(writer.length, alignment) - writer.length);
  return writer.finish();
}

function writeInfo(
  writer: ByteWriter,
  tensor: TensorSource,
  offset: number,
  names: Set<string>,
): void {
  const { name, shape } = tensor;
  const length = new TextEncoder().encode(name).length;
  if (names.has(name) || length === 0 || length >= GGUF_NAME_BYTES) {
    throw new TypeError(
      `GGUF cannot hold a tensor named ${
        quoted(name)
      }: the name is there already, or has not 1 to 63 bytes`,
    );
  }
  names.add(name);
  writer.string(name);
  writer.u32(shape.length);
  for (const extent of shape.toReversed()) writer.u64(BigInt(extent));
  writer.u32(ggufTypeCode(tensor.dtype)!);
  writer.u64(BigInt(offset));
}

function writeValue(writer: ByteWriter, value: GgufValue): void {
  switch (value.type) {
    case "bool":
      return writer.u8(value.value ? 1 : 0);
    case "string":
      return writer.string(value.value);
    case "u64":
      return writer.u64(value.value);
    case "i64":
      return writer.i64(value.value);
    case "array":
      writer.u32(GGUF_VALUE_TYPES.indexOf(value.of));
      writer.u64(BigInt(value.value.length));
      if (value.of === "string") { for (const text of value.value) writer.string(text); }
      else {writer.bytes(
          new Uint8Array(value.value.buffer, value.value.byteOffset, value.value.byteLength),
        );}
      return;
    default:
      return writer[value.type](value.value);
  }
}
