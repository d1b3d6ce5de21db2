/**
 * Every product with a weight: the only place that multiplies by one.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Address, Backend } from "../backend/backend.ts";
import { bytesOf, type DType, DTYPE_BLOCKS } from "../tensor/dtype.ts";

/** Element types that a weight can be multiplied in. */
export const WEIGHT_DTYPES: readonly DType[] = ["f32", "f16", "bf16", "q8_0"];

/**
 * How quantized weights are multiplied: `auto` rounds the activations to q8_0 blocks and multiplies
 * integers, `f32` is exact over the dequantized weights.
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

/** Bytes of scratch that {@linkcode Products} needs for rows of `dim` inputs, rounded up to blocks. */
export function activationBytes(rows: number, dim: number): number {
  const { elements } = DTYPE_BLOCKS.q8_0;
  return rows * bytesOf("q8_0", Math.ceil(dim / elements) * elements);
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
  readonly accumulate?: boolean;
}

/** Products with weights on one backend. */
export class Products {
  readonly #backend: Backend;
  readonly #activations: Activations;
  readonly #scratch: Address;

  /** `scratch` holds {@linkcode activationBytes} of the largest product. */
  constructor(
    backend: Backend,
    options: { readonly activations: Activations; readonly scratch: Address },
  ) {
    this.#backend = backend;
    this.#activations = options.activations;
    this.#scratch = options.scratch;
  }

  /** out[r,n] = (accumulate ? out[r,n] : 0) + sum_k x[r,k] weight[n,k]. */
  multiply(weight: Weight, { out, x, rows, accumulate = false }: ProductArguments): void {
    const { kernels } = this.#backend;
    const quantizes = this.#activations === "auto" &&
      weight.parts.some((part) => part.dtype === "q8_0");
    if (quantizes) {
      kernels.convert({
        out: this.#scratch,
        x,
        out_dtype: DTYPE_CODES.q8_0,
        x_dtype: DTYPE_CODES.f32,
        rows,
        dim: weight.inDim,
      });
    }
    let target = out;
    for (const part of weight.parts) {
      const quantized = quantizes && part.dtype === "q8_0";
      kernels.matmul({
        out: target,
        x: quantized ? this.#scratch : x,
        weight: part.address,
        x_dtype: quantized ? DTYPE_CODES.q8_0 : DTYPE_CODES.f32,
        weight_dtype: DTYPE_CODES[part.dtype],
        rows,
        out_dim: part.outDim,
        in_dim: weight.inDim,
        x_stride: weight.inDim,
        out_stride: weight.outDim,
        accumulate: accumulate ? 1 : 0,
      });
      target += part.outDim * 4;
    }
  }
}
