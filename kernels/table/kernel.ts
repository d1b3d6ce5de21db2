/**
 * The vocabulary of the kernel tables: what a kernel and its parameters are.
 *
 * @module
 */

/** How a scalar travels: `size` is a byte or element count up to 2^53. */
export type ScalarType = "u32" | "i32" | "f32" | "f64" | "size";

/** One argument of a kernel. */
export type Parameter =
  | {
    readonly kind: "tensor";
    /** Element type, or the name of the scalar argument that carries its code. */
    readonly dtype: string;
    /** Dimension names, outermost first, separated by spaces. */
    readonly shape: string;
    readonly direction: "in" | "out" | "inout";
    /** Whether address 0 means "absent". */
    readonly optional: boolean;
  }
  | { readonly kind: "scalar"; readonly type: ScalarType };

/** One kernel: everything that is known of it outside its implementations. */
export interface Kernel {
  /** One sentence, then the formula. */
  readonly doc: string;
  /** Paper and equation, or the file format that defines it. */
  readonly source: string;
  /** Arguments in order, without the context. */
  readonly params: Readonly<Record<string, Parameter>>;
  /** Bytes moved, as an expression over the scalar arguments and `bytes(dtype)`. */
  readonly bytes: string;
  /** Floating-point operations, as an expression over the scalar arguments. */
  readonly flops: string;
}

/** Makes a tensor parameter from its element type and its dimension names. */
export type TensorParameter = (dtype: string, shape: string) => Parameter;

const tensor =
  (direction: "in" | "out" | "inout", optional: boolean) =>
  (dtype: string, shape: string): Parameter => ({
    kind: "tensor",
    dtype,
    shape,
    direction,
    optional,
  });
/** A tensor that the kernel reads. */
export const input: TensorParameter = tensor("in", false);
/** A tensor that may be absent: address 0. */
export const maybe: TensorParameter = tensor("in", true);
/** A tensor that the kernel writes. */
export const output: TensorParameter = tensor("out", false);
/** A tensor that the kernel reads and writes. */
export const inout: TensorParameter = tensor("inout", false);
/** A tensor that the kernel writes where it is there: address 0 where it is not. */
export const maybeOutput: TensorParameter = tensor("out", true);
/** A tensor that the kernel reads and writes where it is there. */
export const maybeInout: TensorParameter = tensor("inout", true);
/** An unsigned count, extent, stride or code, 32 bits. */
export const u32: Parameter = { kind: "scalar", type: "u32" };
/** A signed count or code, 32 bits. */
export const i32: Parameter = { kind: "scalar", type: "i32" };
/** A real constant such as an epsilon, in single precision. */
export const f32: Parameter = { kind: "scalar", type: "f32" };
/** A number in double precision: a constant, or an integer up to 2^53. */
export const f64: Parameter = { kind: "scalar", type: "f64" };
/** A byte or element count up to 2^53. */
export const size: Parameter = { kind: "scalar", type: "size" };
