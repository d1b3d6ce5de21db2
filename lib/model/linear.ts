/**
 * Every product with a weight: the only place that multiplies by one, in inference and in training.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend } from "../backend/backend.ts";
import { multipliesBf16 } from "../backend/features.ts";
import { bytesOf, type DType, DTYPE_BLOCKS } from "../tensor/dtype.ts";

/** Element types that a weight can be multiplied in. */
export const WEIGHT_DTYPES: readonly DType[] = [
  ...["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"] as const,
  ...["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"] as const,
];

/** Whether a weight's products can be those of integers: that is what its blocks are made of. */
export function isQuantized(dtype: DType): boolean {
  return DTYPE_BLOCKS[dtype].elements > 1;
}

/**
 * What weights are multiplied by. `auto` rounds the activations as the weight is: to q8_0 blocks for
 * block types, whose products are integers; to bf16 for bf16 where the processor multiplies that.
 * `f32` is exact over the weights as they are.
 */
export type Activations = "auto" | "f32";

/** Rows of a weight that lie side by side in memory. */
export interface WeightPart {
  /** Element type. */
  readonly dtype: DType;
  /** Rows: outputs that this part makes. */
  readonly outDim: number;
  /** Address of the first row. */
  readonly address: Address;
  /** Whether rows are interleaved as kernel `repack` does it. */
  readonly repacked?: boolean | undefined;
}

/** A weight [out, in]: one part, or several whose rows lie apart or differ in type. */
export interface Weight {
  /** Inputs. */
  readonly inDim: number;
  /** Outputs of all parts. */
  readonly outDim: number;
  /** The parts in order of their outputs. */
  readonly parts: readonly WeightPart[];
}

/** Bytes of scratch that {@linkcode Products} needs for rows of `dim` inputs: two each at most. */
export function activationBytes(rows: number, dim: number): number {
  return rows * Math.max(bytesOf("bf16", dim), bytesOf("q8_0", wholeBlocks(dim)));
}

function wholeBlocks(dim: number): number {
  const { elements } = DTYPE_BLOCKS.q8_0;
  return Math.ceil(dim / elements) * elements;
}

/** Bytes of a weight, all parts. */
export function weightBytes(weight: Weight): number {
  return weight.parts.reduce((sum, { dtype, outDim }) => {
    return sum + bytesOf(dtype, outDim * weight.inDim);
  }, 0);
}

/** Puts weights below one another; neighbours in memory of the same type become one part. */
export function stacked(weights: readonly Weight[]): Weight {
  const parts: WeightPart[] = [];
  const inDim = weights[0]!.inDim;
  for (const part of weights.flatMap((weight) => weight.parts)) {
    const last = parts.at(-1);
    const end = last && last.address + bytesOf(last.dtype, last.outDim * inDim);
    if (last?.dtype === part.dtype && end === part.address) {
      parts[parts.length - 1] = { ...last, outDim: last.outDim + part.outDim };
    } else parts.push(part);
  }
  return { inDim, outDim: weights.reduce((sum, weight) => sum + weight.outDim, 0), parts };
}

/** What is multiplied, and where the result goes. */
export interface ProductArguments {
  /** Result [rows, out] in f32, its rows side by side. */
  readonly out: Address;
  /** Inputs [rows, in] in f32, their rows side by side. */
  readonly x: Address;
  /** Rows of both. */
  readonly rows: number;
  /** Whether the product is added to what `out` holds. @default {false} */
  readonly accumulate?: boolean | undefined;
}

/** Sees the inputs of every product before it is computed. */
export type ProductObserver = (
  weight: Weight,
  inputs: Pick<ProductArguments, "x" | "rows">,
) => void;

/** A product with a weight that is about to be computed. */
export interface WeightUse {
  /** Rows of the inputs. */
  readonly rows: number;
  /** Whether inputs are rounded to blocks where the weight has blocks. */
  readonly quantized: boolean;
}

/** Says where the parts of a weight lie in memory, and how. */
export interface WeightPlaces {
  /** The parts of a weight: repacked, moved, or as they are. */
  partsOf(weight: Weight, use: WeightUse): readonly WeightPart[];
}

/** Products with weights on one backend. */
export class Products {
  readonly #backend: Backend;
  readonly #activations: Activations;
  readonly #scratch: Address;
  readonly #observe: ProductObserver | undefined;
  readonly #places: WeightPlaces | undefined;
  readonly #multipliesBf16: boolean;

  /** `scratch` holds {@linkcode activationBytes} of the largest product. */
  constructor(
    backend: Backend,
    options: {
      readonly activations: Activations;
      readonly scratch: Address;
      readonly observe?: ProductObserver | undefined;
      /** Where weights are found instead. */
      readonly places?: WeightPlaces | undefined;
    },
  ) {
    this.#backend = backend;
    this.#activations = options.activations;
    this.#scratch = options.scratch;
    this.#observe = options.observe;
    this.#places = options.places;
    this.#multipliesBf16 = multipliesBf16(backend.info);
  }

  /** out[r,n] = (accumulate ? out[r,n] : 0) + sum_k x[r,k] weight[n,k]. */
  multiply(weight: Weight, { out, x, rows, accumulate = false }: ProductArguments): void {
    this.#observe?.(weight, { x, rows });
    const { kernels } = this.#backend;
    const quantized = this.#activations === "auto";
    const parts = this.#places?.partsOf(weight, { rows, quantized }) ?? weight.parts;
    let target = out;
    let held: DType = "f32";
    for (const part of parts) {
      const type = this.#inputType(part.dtype, weight.inDim);
      if (type !== "f32" && type !== held) {
        this.#round(type, { x, rows, dim: weight.inDim });
        held = type;
      }
      const product = {
        out: target,
        x: type === "f32" ? x : this.#scratch,
        weight: part.address,
        weight_dtype: DTYPE_CODES[part.dtype],
        rows,
        out_dim: part.outDim,
        in_dim: weight.inDim,
        x_stride: weight.inDim,
        out_stride: weight.outDim,
        accumulate: accumulate ? 1 : 0,
      };
      if (part.repacked) kernels.matmul_repacked(product);
      else kernels.matmul({ ...product, x_dtype: DTYPE_CODES[type] });
      target += part.outDim * 4;
    }
  }

  /** What inputs are rounded to before they meet a weight of a type. */
  #inputType(weight: DType, dim: number): "f32" | "bf16" | "q8_0" {
    if (this.#activations === "f32") return "f32";
    if (isQuantized(weight)) return "q8_0";
    return weight === "bf16" && this.#multipliesBf16 && dim % 2 === 0 ? "bf16" : "f32";
  }

  #round(type: DType, { x, rows, dim }: { x: Address; rows: number; dim: number }): void {
    this.#backend.kernels.convert({
      out: this.#scratch,
      x,
      out_dtype: DTYPE_CODES[type],
      x_dtype: DTYPE_CODES.f32,
      rows,
      dim,
    });
  }
}

/** A weight [out, in] that trains, with its copies; several parameters below one another may be one. */
export interface TrainedWeight {
  /** Inputs. */
  readonly inDim: number;
  /** Outputs. */
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

/** Elements of a packed copy of a weight [out, in] for one side, as kernel `gemm_pack` wants them. */
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
  /** The first. */
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
