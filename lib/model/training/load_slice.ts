/**
 * Reads of a checkpoint's tensors what a rank has of them, and no more where the file allows it.
 *
 * @module
 */

import type { Address, Backend } from "../../backend/backend.ts";
import type { TensorRecord } from "../../formats/tensor_file.ts";
import { bytesOf, type DType, DTYPE_BLOCKS } from "../../tensor/dtype.ts";
import { readAsF32 } from "../load_weights.ts";
import { heldElements, type HeldWeight, sliceRuns, type WeightSlice } from "./parts.ts";

/** Columns are picked out of so many bytes of rows at once. */
const SPAN_BYTES = 64 << 20;

/** What is read, and where it goes. */
export interface SliceReading {
  /** The whole tensor. */
  readonly record: TensorRecord;
  /** What of it is wanted. */
  readonly held: Pick<HeldWeight, "spec" | "slice">;
  /** Where it goes, in f32. */
  readonly target: Address;
}

/**
 * Reads a slice of a tensor as f32, whatever its element or block type.
 *
 * @throws {FormatError} When its type is none that weights have.
 */
export async function readSliceAsF32(
  backend: Backend,
  { record, held, target }: SliceReading,
): Promise<void> {
  const { slice } = held;
  if (slice === undefined) return await readAsF32(backend, { record, target });
  if (record.stored === undefined && isCutBetweenElements(record, slice)) {
    for (const piece of pieces(record, slice)) {
      const at = target + 4 * piece.firstRow * (slice.axis === 1 ? slice.extent : piece.columns);
      await readAsF32(backend, { record: piece.record, target: at });
    }
    return;
  }
  await readWhole(backend, { record, held, target });
}

/** Rows begin with a block of their own; columns can begin inside one. */
function isCutBetweenElements({ dtype }: TensorRecord, { axis }: WeightSlice): boolean {
  return axis === 0 || DTYPE_BLOCKS[dtype as DType]?.elements === 1;
}

/** The records of a slice: rows are neighbours in the file, columns a view of some rows at a time. */
function* pieces(record: TensorRecord, { axis, first, extent }: WeightSlice): Generator<{
  readonly record: TensorRecord;
  readonly firstRow: number;
  readonly columns: number;
}> {
  const [rows, columns] = record.shape as [number, number];
  const rowBytes = record.bytes / rows;
  if (axis === 0) {
    const offset = record.offset + first * rowBytes;
    const shape = [extent, columns];
    const part = { ...record, shape, offset, bytes: extent * rowBytes };
    yield { record: part, firstRow: 0, columns };
    return;
  }
  const atOnce = Math.max(1, Math.floor(SPAN_BYTES / rowBytes));
  const elementBytes = rowBytes / columns;
  for (let firstRow = 0; firstRow < rows; firstRow += atOnce) {
    const count = Math.min(atOnce, rows - firstRow);
    const part: TensorRecord = {
      ...record,
      shape: [count, extent],
      offset: record.offset + firstRow * rowBytes + first * elementBytes,
      bytes: count * extent * elementBytes,
      stored: { kind: "strided", strides: [columns, 1] },
    };
    yield { record: part, firstRow, columns };
  }
}

/** What lies in no order that a slice can be read from is read as a whole first. */
async function readWhole(
  backend: Backend,
  { record, held, target }: SliceReading,
): Promise<void> {
  const elements = record.shape.reduce((product, extent) => product * extent, 1);
  const whole = backend.alloc(bytesOf("f32", elements));
  try {
    await readAsF32(backend, { record, target: whole });
    const values = new Float32Array(heldElements(held));
    for (const { whole: from, held: to, count } of sliceRuns(held)) {
      backend.download(values.subarray(to, to + count), whole + 4 * from);
    }
    backend.upload(target, values);
  } finally {
    backend.free(whole);
  }
}
