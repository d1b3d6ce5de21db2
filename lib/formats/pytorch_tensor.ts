/**
 * From a pickled tensor to a record: its view checked against its storage, its storage against the archive.
 *
 * @module
 */

import { quoted } from "../base/quoted.ts";
import { blockOf, tensorBytes } from "./file_dtype.ts";
import type { PickledTensor } from "./pytorch_rules.ts";
import { refusal, type TensorRecord } from "./tensor_file.ts";
import type { ZipEntry } from "./zip_entry.ts";

/** A tensor of the pickle with the entry of the archive that its storage names. */
export interface TensorInArchive {
  /** Its name in the state dict. */
  readonly name: string;
  /** The view. */
  readonly tensor: PickledTensor;
  /** The archive. */
  readonly path: string;
  /** The entry of its storage, if the archive has it. */
  readonly entry: ZipEntry | undefined;
}

/** Makes the record of a tensor; throws `FormatError` where the view leaves its storage or the storage its entry. */
export function recordOf(given: TensorInArchive): TensorRecord {
  const { name, tensor, path, entry } = given;
  const { storage, offset, shape, strides } = tensor;
  const { dtype } = storage;
  const refuse = (what: string): Error =>
    refusal(path, `tensor ${quoted(name)} ${what}`, { offset: entry?.offset });
  const width = blockOf(dtype)?.bytes;
  if (width === undefined) throw refuse(`has the unknown type ${dtype}`);
  if (entry === undefined) {
    throw refuse(`has its values in entry "data/${storage.key}", which is missing`);
  }
  if (storage.elements * width !== entry.bytes) {
    throw refuse(
      `has a storage of ${storage.elements} ${dtype} elements, and its entry has ${entry.bytes} bytes`,
    );
  }
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined) throw refuse(`of shape [${shape.join(", ")}] has 2^53 bytes or more`);
  const last = shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, offset);
  const outside = bytes === 0 ? offset > storage.elements : last >= storage.elements;
  if (outside || bytes > entry.bytes) {
    throw refuse(
      `of shape [${shape.join(", ")}] with strides [${
        strides.join(", ")
      }] at ${offset} leaves its storage ` +
        `of ${storage.elements} elements`,
    );
  }
  const record = { name, dtype, shape, file: path, offset: entry.offset + offset * width, bytes };
  if (isRowMajor(shape, strides)) return record;
  return { ...record, stored: { kind: "strided", strides } };
}

/** Whether the elements stand side by side in order; strides of axes with one element do not count. */
function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let wanted = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    if (strides[axis] !== wanted) return false;
    wanted *= shape[axis]!;
  }
  return true;
}
