/**
 * Products with weights in inference: the only place that multiplies by one, beside training/linear.ts,
 * which does it for weights that train.
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
  /** Inputs: elements of a row. */
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
