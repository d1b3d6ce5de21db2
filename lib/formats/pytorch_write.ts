/**
 * Writing PyTorch state dicts that `torch.load(…, weights_only=True)` reads, streaming and atomically.
 *
 * @module
 */

import { AtomicFile, type AtomicFileOptions } from "../base/atomic_file.ts";
import { quoted } from "../base/quoted.ts";
import { ByteWriter } from "./byte_writer.ts";
import { elementsOf, tensorBytes } from "./file_dtype.ts";
import { PYTORCH_STORAGES } from "./pytorch_rules.ts";
import type { TensorSource } from "./tensor_file.ts";
import { ZipWriter, type ZipWriterOptions } from "./zip_write.ts";

/** How a PyTorch file is written. */
export interface WritePytorchOptions extends AtomicFileOptions, ZipWriterOptions {}

/** The folder inside the archive; PyTorch accepts any. */
const ROOT = "archive";

/** The version of the archive's layout that PyTorch writes for plain tensors. */
const VERSION = "3\n";

const STORAGE_OF: ReadonlyMap<string, string> = new Map(
  [...PYTORCH_STORAGES].map(([storage, dtype]) => [dtype, storage]),
);

/**
 * Writes a dict of tensors as one `.pth` file; the data of each is asked for when its turn has come.
 *
 * Throws `LlameroError` where the path exists (without `force`) or cannot be written, and leaves nothing behind.
 */
export async function writePytorch(
  path: string,
  tensors: readonly TensorSource[],
  options: WritePytorchOptions = {},
): Promise<void> {
  const pickle = pickleOf(tensors);
  using file = AtomicFile.create(path, options);
  const zip = new ZipWriter(file, options);
  const small = (name: string, bytes: Uint8Array): Promise<void> =>
    zip.add(`${ROOT}/${name}`, { bytes: bytes.length, chunks: [bytes] });
  const encoder = new TextEncoder();
  await small("data.pkl", pickle);
  await small("byteorder", encoder.encode("little"));
  for (const [key, tensor] of tensors.entries()) {
    const chunks = typeof tensor.data === "function" ? tensor.data() : [tensor.data];
    await zip.add(`${ROOT}/data/${key}`, { bytes: sourceBytes(tensor), chunks });
  }
  await small("version", encoder.encode(VERSION));
  zip.finish();
  file.commit();
}

/** The bytes of a source; a type that PyTorch's storages lack is the caller's mistake. */
function sourceBytes(source: TensorSource): number {
  const bytes = tensorBytes(source.dtype, source.shape);
  if (bytes !== undefined && STORAGE_OF.has(source.dtype)) return bytes;
  throw new TypeError(
    `PyTorch cannot hold tensor ${
      quoted(source.name)
    } of ${source.dtype} with shape [${source.shape}]`,
  );
}

/** The pickle of the dict, in the few opcodes of protocol 2 that it needs. */
function pickleOf(tensors: readonly TensorSource[]): Uint8Array {
  const writer = new PickleWriter();
  const names = new Set<string>();
  writer.begin();
  for (const [key, tensor] of tensors.entries()) {
    if (names.has(tensor.name)) throw new TypeError(`Two tensors are named ${quoted(tensor.name)}`);
    names.add(tensor.name);
    sourceBytes(tensor);
    writer.tensor(tensor, key);
  }
  return writer.end();
}

/** Appends the opcodes of a dict of tensors; `pickletools` of Python's library has their meaning. */
class PickleWriter {
  readonly #writer = new ByteWriter();

  #opcode(letter: string): void {
    this.#writer.text(letter);
  }

  /** PROTO 2, EMPTY_DICT, MARK. */
  begin(): void {
    this.#writer.u8(0x80);
    this.#writer.u8(2);
    this.#opcode("}(");
  }

  /** SETITEMS, STOP. */
  end(): Uint8Array {
    this.#opcode("u.");
    return this.#writer.finish();
  }

  /** `name: _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`. */
  tensor(tensor: TensorSource, key: number): void {
    const { name, dtype, shape } = tensor;
    this.#string(name);
    this.#global("torch._utils", "_rebuild_tensor_v2");
    this.#opcode("((");
    this.#string("storage");
    this.#global("torch", STORAGE_OF.get(dtype)!.slice("torch.".length));
    this.#string(String(key));
    this.#string("cpu");
    this.#integer(elementsOf(shape)!);
    this.#opcode("tQ");
    this.#integer(0);
    this.#integers(shape);
    this.#integers(shape.map((_, axis) => elementsOf(shape.slice(axis + 1))!));
    this.#writer.u8(0x89);
    this.#global("collections", "OrderedDict");
    this.#opcode(")RtR");
  }

  #string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.#opcode("X");
    this.#writer.u32(bytes.length);
    this.#writer.bytes(bytes);
  }

  #global(module: string, name: string): void {
    this.#opcode(`c${module}\n${name}\n`);
  }

  #integers(values: readonly number[]): void {
    this.#opcode("(");
    for (const value of values) this.#integer(value);
    this.#opcode("t");
  }

  /** BININT, or LONG1 of 8 bytes for what does not fit. */
  #integer(value: number): void {
    if (value < 2 ** 31) {
      this.#opcode("J");
      this.#writer.i32(value);
    } else {
      this.#writer.u8(0x8a);
      this.#writer.u8(8);
      this.#writer.i64(BigInt(value));
    }
  }
}
