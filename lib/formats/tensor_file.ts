/**
 * What every tensor file comes down to: named records that point into files, and sources to write from.
 *
 * @module
 */

import { FormatError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";

/** One tensor of a file: where its bytes stand and what they mean. */
export interface TensorRecord {
  /** The name that the file gives it. */
  readonly name: string;
  /** Element type in lower case: `f32`, `f16`, `bf16`, `i64`, `u8`, `bool`, `f64`, `q8_0`, …. */
  readonly dtype: string;
  /** Extents, outermost axis first. */
  readonly shape: readonly number[];
  /** Path of the file that holds the bytes. */
  readonly file: string;
  /** Where the first element stands, in bytes from the file's start. */
  readonly offset: number;
  /** Bytes of the tensor when its elements stand side by side in row-major order. */
  readonly bytes: number;
  /**
   * Present only where the file does not have the elements side by side in row-major order and as `dtype` says: such a
   * record must be read through `readTensor`, and never mapped.
   */
  readonly stored?: StridedStorage | GroupedStorage | PartsStorage;
}

/** A tensor that is a view of a larger one: a transposed, sliced or stepped PyTorch tensor. */
export interface StridedStorage {
  /** Says that the elements stand apart. */
  readonly kind: "strided";
  /** Steps between neighbours along each axis, in elements. */
  readonly strides: readonly number[];
}

/** A float32 tensor kept as signed bytes, with one float32 scale for each group of them: `x = byte * scale`. */
export interface GroupedStorage {
  /** Says that the elements are quantized. */
  readonly kind: "grouped";
  /** Elements, in row-major order, that share a scale. */
  readonly group: number;
  /** Where the first scale stands, in bytes from the file's start; the record's `offset` is that of the bytes. */
  readonly scales: number;
}

/** A matrix cut along one axis into records of several files, as models that were trained in parallel are saved. */
export interface PartsStorage {
  /** Says that the tensor stands in parts; its record's `file` and `offset` are those of the first. */
  readonly kind: "parts";
  /** The axis that is cut: 0 where the parts follow one another, 1 where they lie side by side. */
  readonly axis: 0 | 1;
  /** The parts in order, all of the record's type. */
  readonly parts: readonly TensorRecord[];
}

/** The bytes of a tensor to write: all at once, or a function that yields them in order. */
export type TensorBytes = Uint8Array | (() => Iterable<Uint8Array> | AsyncIterable<Uint8Array>);

/** One tensor to write. */
export interface TensorSource {
  /** The name it gets in the file. */
  readonly name: string;
  /** Element type in lower case, as in {@linkcode TensorRecord}. */
  readonly dtype: string;
  /** Extents, outermost axis first. */
  readonly shape: readonly number[];
  /** Its bytes, row-major and little-endian; a chunk that is yielded is used before the next one is asked for. */
  readonly data: TensorBytes;
}

/** Headers of binary formats longer than this are refused. */
export const HEADER_LIMIT = 100_000_000;

/** JSON headers and indexes longer than this are refused: several times what the largest models have. */
export const JSON_HEADER_LIMIT: number = 1 << 25;

/** Files of more tensors than this are refused; the largest models have some thousands in one. */
export const MOST_TENSORS: number = 1 << 16;

/** Makes `Cannot read "<file>": <what>`, with the byte offset where one is known. */
export function refusal(
  file: string,
  what: string,
  options: { readonly offset?: number | undefined; readonly hint?: string | undefined } = {},
): FormatError {
  const where = options.offset === undefined ? "" : ` (at byte ${options.offset})`;
  return new FormatError(`Cannot read ${quotedPath(file)}: ${what}${where}`, { file, ...options });
}
