/**
 * Element and block types of tensors: how many bytes they take, and how they become float32.
 *
 * @module
 */

import { DTYPE_CODES, type DTypeName } from "../../kernels/abi.ts";
import { ShapeError } from "../base/errors.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../base/float16.ts";

/** Name of an element or block type that kernels know. */
export type DType = DTypeName;

/** A run of elements that is stored together. */
export interface DTypeBlock {
  /** Elements of a block; 1 for plain types. */
  readonly elements: number;
  /** Bytes of a block. */
  readonly bytes: number;
}

/** The block of every type; those of the q types are ggml's structures. */
export const DTYPE_BLOCKS: Readonly<Record<DType, DTypeBlock>> = {
  f32: { elements: 1, bytes: 4 },
  f16: { elements: 1, bytes: 2 },
  bf16: { elements: 1, bytes: 2 },
  i8: { elements: 1, bytes: 1 },
  i32: { elements: 1, bytes: 4 },
  i64: { elements: 1, bytes: 8 },
  f64: { elements: 1, bytes: 8 },
  q4_0: { elements: 32, bytes: 18 },
  q4_1: { elements: 32, bytes: 20 },
  q5_0: { elements: 32, bytes: 22 },
  q5_1: { elements: 32, bytes: 24 },
  q8_0: { elements: 32, bytes: 34 },
  q2_k: { elements: 256, bytes: 84 },
  q3_k: { elements: 256, bytes: 110 },
  q4_k: { elements: 256, bytes: 144 },
  q5_k: { elements: 256, bytes: 176 },
  q6_k: { elements: 256, bytes: 210 },
};

/** Whether a name is that of a type that kernels know. */
export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPE_CODES, name);
}

/**
 * Bytes of `elements` elements side by side: elements / block elements * block bytes.
 *
 * @throws {ShapeError} When they are not whole blocks.
 */
export function bytesOf(dtype: DType, elements: number): number {
  const block = DTYPE_BLOCKS[dtype];
  if (elements % block.elements !== 0) {
    throw new ShapeError(
      `Cannot store ${elements} elements as ${dtype}: a multiple of ${block.elements} was wanted`,
    );
  }
  return (elements / block.elements) * block.bytes;
}

/** Types whose elements stand alone and convert to and from a JavaScript array. */
export type PlainDType = "f32" | "f64" | "f16" | "bf16" | "i8" | "i32";

/** An array of numbers as it is uploaded. */
export type ElementArray =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>;

/** Numbers in the memory layout of a type, rounded to nearest even where it is narrower. */
export function encodeElements(dtype: PlainDType, values: ArrayLike<number>): ElementArray {
  switch (dtype) {
    case "f32":
      return Float32Array.from(values);
    case "f64":
      return Float64Array.from(values);
    case "f16":
      return encodeF16(Float32Array.from(values));
    case "bf16":
      return encodeBf16(Float32Array.from(values));
    case "i8":
      return Int8Array.from(values);
    case "i32":
      return Int32Array.from(values);
  }
}

/** Numbers from the memory layout of a type; every value of these types is exact in a double. */
export function decodeElements(dtype: PlainDType, bytes: ArrayBuffer): Float64Array<ArrayBuffer> {
  switch (dtype) {
    case "f32":
      return Float64Array.from(new Float32Array(bytes));
    case "f64":
      return new Float64Array(bytes.slice());
    case "f16":
      return Float64Array.from(decodeF16(new Uint16Array(bytes)));
    case "bf16":
      return Float64Array.from(decodeBf16(new Uint16Array(bytes)));
    case "i8":
      return Float64Array.from(new Int8Array(bytes));
    case "i32":
      return Float64Array.from(new Int32Array(bytes));
  }
}

/** Whether the elements of a type stand alone and convert to and from a JavaScript array. */
export function isPlain(dtype: DType): dtype is PlainDType {
  return dtype !== "i64" && DTYPE_BLOCKS[dtype].elements === 1;
}
