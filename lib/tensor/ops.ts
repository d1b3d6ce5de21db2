/**
 * The forward kernels on tensors: one checked function per kernel, arguments by name.
 *
 * All of them write into tensors that the caller has reserved. Shapes, element types and backends are
 * compared before anything is computed; what does not fit throws `ShapeError`. Formulas and sources
 * stand in `kernels/table/inference.ts`.
 *
 * @module
 */

import { ShapeError } from "../base/errors.ts";
import { call } from "./call.ts";
import { elementsOf } from "./shape.ts";
import { reshape, type Tensor } from "./tensor.ts";

/** out[r,:] = table[ids[r],:]: rows [rows, dim] of a table [vocab, dim] by ids (i32) [rows]. */
export function embedding(
  tensors: { readonly out: Tensor; readonly table: Tensor; readonly ids: Tensor },
): void {
  call("embedding", { tensors });
}

/** What RMSNorm and LayerNorm go over: rows of x, each by itself. */
export interface NormArguments {
  /** Result [rows, dim]; may be `x`. */
  readonly out: Tensor;
  /** Input [rows, dim]. */
  readonly x: Tensor;
  /** Scale [dim]. */
  readonly weight: Tensor;
  /** Added to the mean square or the variance, inside the root. */
  readonly eps: number;
}

/** out[r,:] = weight * x[r,:] / sqrt(mean(x[r,:]^2) + eps). */
export function rmsNorm({ eps, ...tensors }: NormArguments): void {
  call("rms_norm", { tensors, scalars: { eps } });
}

/** out[r,:] = weight * (x[r,:] - mean) / sqrt(var + eps) + bias, with the biased variance. */
export function layerNorm({ eps, ...tensors }: NormArguments & { readonly bias?: Tensor }): void {
  call("layer_norm", { tensors, scalars: { eps } });
}

/** Arguments of a product with a weight. */
export interface MatmulArguments {
  /** Result [rows, out]. */
  readonly out: Tensor;
  /** Input [rows, in]: f32, or q8_0 made by {@linkcode convert}. */
  readonly x: Tensor;
  /** Weight [out, in]: f32, f16, bf16 or a block type. */
  readonly weight: Tensor;
  /** Whether the product is added to what `out` holds. @default {false} */
  readonly accumulate?: boolean;
}

/** out[m,n] = (accumulate ? out[m,n] : 0) + sum_k x[m,k] weight[n,k]. */
export function matmul({ accumulate = false, ...tensors }: MatmulArguments): void {
  call("matmul", { tensors, scalars: { accumulate: Number(accumulate) } });
}

/** Converts rows [rows, dim] between element types: f32 to f16, bf16 or blocks, any type to f32. */
export function convert(tensors: { readonly out: Tensor; readonly x: Tensor }): void {
  call("convert", { tensors });
}

/**
 * Quantizes rows [rows, dim] of f32 to a block type, so that errors count for more in columns of
 * larger importance [dim].
 */
export function quantizeWeighted(
  tensors: { readonly out: Tensor; readonly x: Tensor; readonly importance: Tensor },
): void {
  call("quantize_weighted", { tensors });
}

/** Which two coordinates of a head turn together: i and i + head_dim/2, or 2i and 2i + 1. */
export type RopeLayout = "half" | "interleaved";

/** Arguments of a rotation. */
export interface RopeArguments {
  /** Queries or keys [rows, heads, head_dim], changed in place. */
  readonly x: Tensor;
  /** (cos, sin) of every row's angles [rows, head_dim/2, 2]. */
  readonly table: Tensor;
  /** Which coordinates turn together. */
  readonly layout: RopeLayout;
}

/** Rotary position embedding in place (Su et al. 2021, eq. 34). */
export function rope({ layout, ...tensors }: RopeArguments): void {
  call("rope", { tensors, scalars: { layout: layout === "half" ? 0 : 1 } });
}

/** Arguments of a write into the cache. */
export interface KvStoreArguments {
  /** Keys or values of one layer [pages, kv_heads, page_size, head_dim]: f32 or f16. */
  readonly cache: Tensor;
  /** New rows [rows, kv_heads, head_dim]. */
  readonly x: Tensor;
  /** Where they go (i32) [rows]: page * page_size + place. */
  readonly slots: Tensor;
}

/** cache[slots[r] / page_size, h, slots[r] % page_size, :] = x[r,h,:]. */
export function kvStore(tensors: KvStoreArguments): void {
  call("kv_store", { tensors: { ...tensors } });
}

/** Arguments of attention over the paged cache. */
export interface AttentionArguments {
  /** Result [rows, heads, head_dim]. */
  readonly out: Tensor;
  /** Queries [rows, heads, head_dim]. */
  readonly q: Tensor;
  /** Cached keys [pages, kv_heads, page_size, head_dim]. */
  readonly keys: Tensor;
  /** Cached values, like the keys. */
  readonly values: Tensor;
  /** Page (i32) of every page_size positions of every sequence [sequences, max_pages]. */
  readonly pageTable: Tensor;
  /** Sequence (i32) of every row [rows]. */
  readonly rowSequence: Tensor;
  /** Position (i32) of every row [rows]; it sees positions 0 to its own. */
  readonly rowPosition: Tensor;
  /** Factor of the scores. @default {1 / sqrt(head_dim)} */
  readonly scale?: number;
}

/** Causal attention of query rows over their sequences' cached positions. */
export function attention(args: AttentionArguments): void {
  const { pageTable, rowSequence, rowPosition, scale, ...rest } = args;
  call("attention", {
    tensors: {
      ...rest,
      page_table: pageTable,
      row_sequence: rowSequence,
      row_position: rowPosition,
    },
    scalars: { scale: scale ?? 1 / Math.sqrt(args.q.shape.at(-1) ?? 1) },
  });
}

/** out[r,f] = silu(gate[r,f]) * up[r,f]; gate and up may be columns of one matrix. */
export function swiglu(
  tensors: { readonly out: Tensor; readonly gate: Tensor; readonly up: Tensor },
): void {
  call("swiglu", { tensors });
}

/** The elements of a tensor in one axis, as kernels over whole buffers take them. */
function flat(tensor: Tensor): Tensor {
  return reshape(tensor, [elementsOf(tensor.shape)]);
}

/** out[i] += x[i], for tensors of one shape. */
export function add({ out, x }: { readonly out: Tensor; readonly x: Tensor }): void {
  if (out.shape.join() !== x.shape.join()) {
    throw new ShapeError(`Cannot run "add": "x" is [${x.shape}], but "out" is [${out.shape}]`);
  }
  call("add", { tensors: { out: flat(out), x: flat(x) } });
}

/** x[i] *= factor. */
export function scale({ x, factor }: { readonly x: Tensor; readonly factor: number }): void {
  call("scale", { tensors: { x: flat(x) }, scalars: { factor } });
}

/** out[r,:] = exp(x[r,:] - max) / sum; `out` may be `x`. */
export function softmax(tensors: { readonly out: Tensor; readonly x: Tensor }): void {
  call("softmax", { tensors });
}

/** out[r] (i32) = index of the largest element of x[r,:], the lowest on ties; NaN never wins. */
export function argmax(tensors: { readonly out: Tensor; readonly x: Tensor }): void {
  call("argmax", { tensors });
}

/** Arguments of the head's score. */
export interface ScoreArguments {
  /** logits[r,targets[r]] - log_z[r], 0 where the target is negative [rows]. */
  readonly logProb: Tensor;
  /** log sum exp logits[r,:] [rows]. */
  readonly logZ: Tensor;
  /** Logits [rows, vocab]. */
  readonly logits: Tensor;
  /** Targets (i32) [rows]. */
  readonly targets: Tensor;
}

/** Log-probability of a target and log-sum-exp per row of logits. */
export function score({ logProb, logZ, logits, targets }: ScoreArguments): void {
  call("score", { tensors: { log_prob: logProb, log_z: logZ, logits, targets } });
}
