/**
 * The value and tensor types of GGUF, by number and by name (ggml's `docs/gguf.md` and `ggml.h`).
 *
 * @module
 */

/** The arrays that hold the elements of a GGUF array, by element type; booleans are bytes 0 and 1. */
export interface GgufElements {
  /** Unsigned bytes. */
  u8: Uint8Array;
  /** Signed bytes. */
  i8: Int8Array;
  /** Unsigned 16-bit numbers. */
  u16: Uint16Array;
  /** Signed 16-bit numbers. */
  i16: Int16Array;
  /** Unsigned 32-bit numbers. */
  u32: Uint32Array;
  /** Signed 32-bit numbers. */
  i32: Int32Array;
  /** 32-bit floats. */
  f32: Float32Array;
  /** Booleans as bytes 0 and 1. */
  bool: Uint8Array;
  /** Texts, in UTF-8 in the file. */
  string: string[];
  /** Unsigned 64-bit numbers. */
  u64: BigUint64Array;
  /** Signed 64-bit numbers. */
  i64: BigInt64Array;
  /** 64-bit floats. */
  f64: Float64Array;
}

/** The name of a type that a metadata value or an element of an array can have. */
export type GgufScalarType = keyof GgufElements;

/** One array of metadata. */
export type GgufArray = {
  [T in GgufScalarType]: {
    /** Says that the value is an array. */
    readonly type: "array";
    /** The type of its elements. */
    readonly of: T;
    /** The elements. */
    readonly value: GgufElements[T];
  };
}[GgufScalarType];

/** One value of metadata with its exact type, so that it can be written back as it was. */
export type GgufValue =
  | {
    readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64";
    readonly value: number;
  }
  | { readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | GgufArray;

/** The value types; the place in the list is the number in the file. */
export const GGUF_VALUE_TYPES: readonly GgufValue["type"][] = [
  ...["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array"] as const,
  ...["u64", "i64", "f64"] as const,
];

/** Bytes of one element of an array; of a string, its length field alone. */
export const GGUF_WIDTHS: Readonly<Record<GgufScalarType, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** The alignment of tensors where `general.alignment` says nothing. */
export const GGUF_ALIGNMENT = 32;

/** Largest alignment that is read or written; nobody needs more than a huge page's. */
export const GGUF_LARGEST_ALIGNMENT: number = 1 << 21;

/** Tensor names are shorter than this many bytes. */
export const GGUF_NAME_BYTES = 64;

/** Tensors have at most this many axes. */
export const GGUF_MOST_AXES = 4;

/** Tensor types by their number; the gaps are types that ggml has given up or never stores. */
const TENSOR_TYPES: readonly (readonly [code: number, dtype: string])[] = [
  [0, "f32"],
  [1, "f16"],
  [2, "q4_0"],
  [3, "q4_1"],
  [6, "q5_0"],
  [7, "q5_1"],
  [8, "q8_0"],
  [10, "q2_k"],
  [11, "q3_k"],
  [12, "q4_k"],
  [13, "q5_k"],
  [14, "q6_k"],
  [16, "iq2_xxs"],
  [17, "iq2_xs"],
  [18, "iq3_xxs"],
  [19, "iq1_s"],
  [20, "iq4_nl"],
  [21, "iq3_s"],
  [22, "iq2_s"],
  [23, "iq4_xs"],
  [24, "i8"],
  [25, "i16"],
  [26, "i32"],
  [27, "i64"],
  [28, "f64"],
  [29, "iq1_m"],
  [30, "bf16"],
  [34, "tq1_0"],
  [35, "tq2_0"],
  [39, "mxfp4"],
  [40, "nvfp4"],
  [41, "q1_0"],
  [42, "q2_0"],
];

const DTYPE_OF: ReadonlyMap<number, string> = new Map(TENSOR_TYPES);
const CODE_OF: ReadonlyMap<string, number> = new Map(
  TENSOR_TYPES.map(([code, dtype]) => [dtype, code]),
);

/** Our name of ggml's tensor type, or `undefined` where no file may have it. */
export function ggufDtype(code: number): string | undefined {
  return DTYPE_OF.get(code);
}

/** ggml's number of a tensor type, or `undefined` where GGUF has no such type. */
export function ggufTypeCode(dtype: string): number | undefined {
  return CODE_OF.get(dtype);
}
