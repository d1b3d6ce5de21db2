/**
 * Reading a tensor whose elements do not stand side by side: a transposed or sliced PyTorch view.
 *
 * @module
 */

import { blockOf } from "./file_dtype.ts";
import type { InputFile } from "./input_file.ts";
import type { TensorRecord } from "./tensor_file.ts";

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** Arrays that move one element at a time, by the element's width in bytes. */
const WORDS: ReadonlyMap<number, new (buffer: ArrayBufferLike) => Words> = new Map<
  number,
  new (buffer: ArrayBufferLike) => Words
>([[1, Uint8Array], [2, Uint16Array], [4, Uint32Array], [8, BigUint64Array]]);

/** Yields a strided tensor's bytes in row-major order; each chunk is a view that the next one overwrites. */
export function* stridedChunks(
  file: InputFile,
  record: TensorRecord,
  options: { readonly chunkBytes: number },
): Generator<Uint8Array, void, void> {
  const { shape, stored } = record;
  const strides = stored?.kind === "strided" ? stored.strides : [];
  const width = blockOf(record.dtype)?.bytes ?? 0;
  const WordArray = WORDS.get(width);
  if (WordArray === undefined || strides.length !== shape.length) {
    throw new TypeError(`The record of "${record.name}" has no strides that can be read`);
  }
  if (record.bytes === 0) return;
  // From the first element to the last that is touched; the reader of the header checked it against the file.
  const last = shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, 0);
  const source = new WordArray(file.read(record.offset, (last + 1) * width).buffer);
  const capacity = Math.max(1, Math.floor(Math.min(record.bytes, options.chunkBytes) / width));
  const chunk = new WordArray(new ArrayBuffer(capacity * width));
  const bytes = new Uint8Array(chunk.buffer);
  const [extent, step] = [shape.at(-1) ?? 1, strides.at(-1) ?? 1];
  let used = 0;
  for (const row of rowStarts(shape.slice(0, -1), strides)) {
    for (let i = 0; i < extent; i++) {
      chunk[used++] = source[row + i * step]!;
      if (used < capacity) continue;
      yield bytes;
      used = 0;
    }
  }
  if (used > 0) yield bytes.subarray(0, used * width);
}

/** Yields where each row begins, in elements from the first, in row-major order of the outer axes. */
function* rowStarts(
  outer: readonly number[],
  strides: readonly number[],
): Generator<number, void, void> {
  const index = outer.map(() => 0);
  for (let position = 0;;) {
    yield position;
    let axis = outer.length - 1;
    for (; axis >= 0; axis--) {
      position += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < outer[axis]!) break;
      position -= strides[axis]! * outer[axis]!;
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}
