/**
 * Reading a tensor whose elements do not stand side by side: a transposed, expanded or sliced PyTorch view.
 *
 * @module
 */

import { blockOf } from "./file_dtype.ts";
import type { InputFile } from "./input_file.ts";
import type { TensorRecord } from "./tensor_file.ts";

/** Yields a strided tensor's bytes in row-major order; each chunk is a view that the next one overwrites. */
export function* stridedChunks(
  file: InputFile,
  record: TensorRecord,
  options: { readonly chunkBytes: number },
): Generator<Uint8Array, void, void> {
  const { stored } = record;
  const strides = stored?.kind === "strided" ? stored.strides : [];
  const width = blockOf(record.dtype)?.bytes;
  if (width === undefined || strides.length !== record.shape.length) {
    throw new TypeError(`The record of "${record.name}" has no readable strides`);
  }
  if (record.bytes === 0) return;
  // The span from the first to the last element that is touched; the reader of the header checked it against the file.
  const last = record.shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, 0);
  const source = file.read(record.offset, (last + 1) * width);
  const out = new Uint8Array(Math.max(width, Math.min(record.bytes, options.chunkBytes)));
  const capacity = out.length - (out.length % width);
  let used = 0;
  for (const element of elementOffsets(record.shape, strides)) {
    const from = element * width;
    for (let byte = 0; byte < width; byte++) out[used + byte] = source[from + byte]!;
    used += width;
    if (used === capacity) {
      yield out.subarray(0, used);
      used = 0;
    }
  }
  if (used > 0) yield out.subarray(0, used);
}

/** Yields the position of each element, in elements from the first, in row-major order. */
function* elementOffsets(
  shape: readonly number[],
  strides: readonly number[],
): Generator<number, void, void> {
  const index = shape.map(() => 0);
  for (let position = 0;;) {
    yield position;
    let axis = shape.length - 1;
    for (; axis >= 0; axis--) {
      position += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      position -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}
