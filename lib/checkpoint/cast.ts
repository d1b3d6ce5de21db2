/**
 * A tensor's bytes as another element type, chunk by chunk.
 *
 * Widening is exact; narrowing rounds once to nearest, ties to even. A tensor that has the type already
 * passes byte by byte, NaN payloads included.
 *
 * @module
 */

import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../base/float16.ts";
import { FormatError } from "../base/errors.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { tensorChunks } from "../formats/read_tensor.ts";
import type { TensorRecord } from "../formats/tensor_file.ts";
import type { FloatName } from "../model/config_huggingface.ts";
import { tensorValues, type Values } from "./tensor_values.ts";

/** Bytes of an element. */
const FLOAT_BYTES: Readonly<Record<FloatName, number>> = { f32: 4, f16: 2, bf16: 2 };

/** Whether an element type is one that every format holds. */
export function isFloat(dtype: string): dtype is FloatName {
  return Object.hasOwn(FLOAT_BYTES, dtype);
}

/** Bits of 65520, the smallest float32 magnitude that half precision rounds to infinity. */
const F16_OVERFLOW = 0x477ff000;
const INFINITE = 0x7f800000;

/** What happened to the numbers of a tensor. */
export interface CastReport {
  /** Finite numbers that half precision cannot hold and that became infinite. */
  overflowed: number;
}

/** Yields a tensor's bytes as `dtype`; adds to `report` what was lost. @throws {FormatError} For a type that is not decoded. */
export function castChunks(
  record: TensorRecord,
  options: { readonly dtype: string; readonly report?: CastReport | undefined },
): Iterable<Uint8Array> {
  const { dtype, report } = options;
  if (record.dtype === dtype) return tensorChunks(record);
  const values = tensorValues(record);
  if (values === undefined || !isFloat(dtype)) {
    throw new FormatError(
      `Cannot convert ${quotedPath(record.file)}: tensor ${quoted(record.name)} is ` +
        `${record.dtype}, which is not turned into ${dtype}`,
      { file: record.file, offset: record.offset },
    );
  }
  return narrowed(values, dtype, report);
}

function* narrowed(
  chunks: Iterable<Values>,
  dtype: FloatName,
  report: CastReport | undefined,
): Generator<Uint8Array, void, void> {
  let room = new Uint16Array(0);
  for (const chunk of chunks) {
    const values = chunk instanceof Float32Array ? chunk : Float32Array.from(chunk);
    if (dtype === "f32") {
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      continue;
    }
    if (room.length < values.length) room = new Uint16Array(values.length);
    if (dtype === "f16") encodeF16(values, room);
    else encodeBf16(values, room);
    if (dtype === "f16" && report !== undefined) report.overflowed += countOverflows(values);
    yield new Uint8Array(room.buffer, 0, 2 * values.length);
  }
}

function countOverflows(values: Float32Array): number {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  let count = 0;
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i]! & 0x7fffffff;
    if (magnitude >= F16_OVERFLOW && magnitude < INFINITE) count++;
  }
  return count;
}

/** Whether a tensor keeps every bit when it is stored as `dtype` and widened again. */
export function isExactIn(record: TensorRecord, dtype: FloatName): boolean {
  if (record.dtype === dtype || dtype === "f32") return true;
  for (const chunk of tensorValues(record) ?? []) {
    const values = chunk instanceof Float32Array ? chunk : Float32Array.from(chunk);
    const back = dtype === "f16" ? decodeF16(encodeF16(values)) : decodeBf16(encodeBf16(values));
    const before = new Int32Array(values.buffer, values.byteOffset, values.length);
    const after = new Int32Array(back.buffer);
    for (let i = 0; i < before.length; i++) if (before[i] !== after[i]) return false;
  }
  return true;
}
