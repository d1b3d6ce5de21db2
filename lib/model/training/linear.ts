/**
 * Products with weights that train, forward and backward: y = x W^T, dx = dy W, dW = dy^T x.
 *
 * @module
 */

import { DTYPE_CODES } from "../../../kernels/abi.ts";
import type { Address, Backend } from "../../backend/backend.ts";
import type { ProductArguments } from "../linear.ts";

/** A weight [out, in] that trains, with its copies; several parameters below one another may be one. */
export interface TrainedWeight {
  /** Inputs: elements of a row. */
  readonly inDim: number;
  /** Outputs: rows. */
  readonly outDim: number;
  /** Master (f32). */
  readonly master: Address;
  /** Gradient (f32), of the same shape. */
  readonly gradient: Address;
  /** What is multiplied where that is not the master (bf16); or 0. */
  readonly compute: Address;
  /** Where packed copies are kept; without it every product packs for itself. */
  readonly packed?: Readonly<Record<Side, PackedCopy>> | undefined;
}

/** `forward` multiplies inputs (x W^T), `backward` gradients of outputs (dy W). */
export type Side = "forward" | "backward";

/** A copy of a weight in the order in which a product reads it. */
export interface PackedCopy {
  /** Memory of {@linkcode packedElements} elements of the products' precision. */
  readonly address: Address;
  /** Version of the weights that it was made of; -1 before the first. */
  version: number;
}

/** A weight as the right factor of `gemm`. */
interface Factor {
  readonly columns: number;
  readonly depth: number;
  readonly b_column_stride: number;
  readonly b_depth_stride: number;
}

const FACTORS: Readonly<Record<Side, (weight: TrainedWeight) => Factor>> = {
  forward: ({ inDim, outDim }) => ({
    columns: outDim,
    depth: inDim,
    b_column_stride: inDim,
    b_depth_stride: 1,
  }),
  backward: ({ inDim, outDim }) => ({
    columns: inDim,
    depth: outDim,
    b_column_stride: 1,
    b_depth_stride: inDim,
  }),
};

/**
 * Elements of a packed copy of a weight [out, in] for one side, as kernel `gemm_pack` wants them:
 * (columns + 63) (depth + 1), room for whole panels of up to 64 columns and for an even depth.
 */
export function packedElements(
  side: Side,
  { outDim, inDim }: { readonly outDim: number; readonly inDim: number },
): number {
  const [columns, depth] = side === "forward" ? [outDim, inDim] : [inDim, outDim];
  return (columns + 63) * (depth + 1);
}

/** The gradient of inputs from that of outputs. */
export interface InputGradientArguments {
  /** Gradient of the inputs [rows, in]. */
  readonly dx: Address;
  /** Gradient of the outputs [rows, out]. */
  readonly dy: Address;
  /** Rows of both. */
  readonly rows: number;
  /** Whether it is added to what `dx` holds. @default {false} */
  readonly accumulate?: boolean | undefined;
}

/** The gradient of a weight from its inputs and the gradient of its outputs. */
export interface WeightGradientArguments {
  /** Gradient of the outputs [rows, out]. */
  readonly dy: Address;
  /** Inputs [rows, in]. */
  readonly x: Address;
  /** Rows of both. */
  readonly rows: number;
  /** Whether it is added to what the gradient holds. */
  readonly accumulate: boolean;
  /** Some of the outputs, where not all are wanted. */
  readonly outputs?: OutputRange | undefined;
}

/** Some neighbouring outputs of a weight. */
export interface OutputRange {
  /** Index of the first, from 0. */
  readonly first: number;
  /** How many. */
  readonly outDim: number;
  /** Their gradient (f32) [outDim, in]. */
  readonly gradient: Address;
}

/** Products with weights that train, forward and backward; activations and gradients are f32. */
export class TrainingProducts {
  readonly #backend: Backend;
  /** Code of the element type that factors are rounded to. */
  readonly precision: number;
  readonly #between: (() => void) | undefined;
  #version = 0;

  /**
   * With precision bf16 both factors are rounded to it; sums are f32 always. `between` is called after
   * each product: messages that are on their way may move on.
   */
  constructor(
    backend: Backend,
    options: { readonly precision: "f32" | "bf16"; readonly between?: (() => void) | undefined },
  ) {
    this.#backend = backend;
    this.#between = options.between;
    this.precision = DTYPE_CODES[options.precision];
  }

  /** Makes packed copies stale: weights have changed. */
  weightsChanged(): void {
    this.#version++;
  }

  /** out[r,n] = (accumulate ? out[r,n] : 0) + sum_k x[r,k] weight[n,k]. */
  forward(weight: TrainedWeight, { out, x, rows, accumulate }: ProductArguments): void {
    this.#multiply("forward", weight, { out, x, rows, accumulate });
  }

  /** dx[r,k] = (accumulate ? dx[r,k] : 0) + sum_n dy[r,n] weight[n,k]. */
  backwardInput(weight: TrainedWeight, args: InputGradientArguments): void {
    const { dx: out, dy: x, rows, accumulate } = args;
    this.#multiply("backward", weight, { out, x, rows, accumulate });
  }

  /** gradient[n,k] = (accumulate ? gradient[n,k] : 0) + sum_r dy[r,n] x[r,k]. */
  backwardWeight(weight: TrainedWeight, args: WeightGradientArguments): void {
    const { inDim, outDim: allOutputs } = weight;
    const all = { first: 0, outDim: allOutputs, gradient: weight.gradient };
    const { first, outDim, gradient } = args.outputs ?? all;
    this.#backend.kernels.gemm({
      out: gradient,
      a: args.dy + 4 * first,
      b: args.x,
      a_dtype: DTYPE_CODES.f32,
      b_dtype: DTYPE_CODES.f32,
      rows: outDim,
      columns: inDim,
      depth: args.rows,
      a_row_stride: 1,
      a_depth_stride: allOutputs,
      b_column_stride: 1,
      b_depth_stride: inDim,
      out_stride: inDim,
      accumulate: Number(args.accumulate),
      precision: this.precision,
      b_packed: 0,
    });
    this.#between?.();
  }

  #multiply(side: Side, weight: TrainedWeight, args: ProductArguments): void {
    const factor = FACTORS[side](weight);
    const { kernels } = this.#backend;
    const { precision } = this;
    let [b, b_dtype]: [Address, number] = weight.compute === 0
      ? [weight.master, DTYPE_CODES.f32]
      : [weight.compute, DTYPE_CODES.bf16];
    const packed = weight.packed?.[side];
    if (packed !== undefined) {
      if (packed.version !== this.#version) {
        const packed_elements = packedElements(side, weight);
        kernels.gemm_pack({
          packed: packed.address,
          b,
          b_dtype,
          ...factor,
          precision,
          packed_elements,
        });
        packed.version = this.#version;
      }
      [b, b_dtype] = [packed.address, precision];
    }
    kernels.gemm({
      out: args.out,
      a: args.x,
      b,
      a_dtype: DTYPE_CODES.f32,
      b_dtype,
      rows: args.rows,
      ...factor,
      a_row_stride: factor.depth,
      a_depth_stride: 1,
      out_stride: factor.columns,
      accumulate: Number(args.accumulate ?? false),
      precision,
      b_packed: Number(packed !== undefined),
    });
    this.#between?.();
  }
}
