/**
 * The forward kernels in plain double precision: the truth that backends are compared with.
 *
 * @module
 */

import { decodeBf16, encodeBf16 } from "../../lib/base/float16.ts";
/** Numbers of the arguments by name. */
export type Values = Readonly<Record<string, Float64Array>>;
/** Extents and scalars of a case by name. */
export type Sizes = Readonly<Record<string, number>>;

/** Numbers rounded to bf16. */
export const narrowed = (values: Float64Array): Float64Array =>
  Float64Array.from(decodeBf16(encodeBf16(Float32Array.from(values))));

/** An array of which every element is a function of its index. */
export function fill(count: number, element: (index: number) => number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => element(i));
}

function sum(count: number, term: (index: number) => number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += term(i);
  return total;
}

const silu = (x: number) => x / (1 + Math.exp(-x));

/** out[r,i] = table[ids[r],i] */
export function embedding({ table, ids }: Values, { rows, dim }: Sizes): Float64Array {
  return fill(rows! * dim!, (i) => table![ids![Math.floor(i / dim!)]! * dim! + (i % dim!)]!);
}

/** out = weight * x / sqrt(mean(x^2) + eps) */
export function rmsNorm({ x, weight }: Values, { rows, dim, eps }: Sizes): Float64Array {
  const factor = fill(rows!, (r) => {
    const mean = sum(dim!, (i) => x![r * dim! + i]! ** 2) / dim!;
    return 1 / Math.sqrt(mean + eps!);
  });
  return fill(rows! * dim!, (i) => weight![i % dim!]! * x![i]! * factor[Math.floor(i / dim!)]!);
}

/** out = weight * (x - mean) / sqrt(var + eps) + bias */
export function layerNorm({ x, weight, bias }: Values, { rows, dim, eps }: Sizes): Float64Array {
  const mean = fill(rows!, (r) => sum(dim!, (i) => x![r * dim! + i]!) / dim!);
  const factor = fill(rows!, (r) => {
    const variance = sum(dim!, (i) => (x![r * dim! + i]! - mean[r]!) ** 2) / dim!;
    return 1 / Math.sqrt(variance + eps!);
  });
  return fill(rows! * dim!, (i) => {
    const r = Math.floor(i / dim!);
    return weight![i % dim!]! * (x![i]! - mean[r]!) * factor[r]! + (bias?.[i % dim!] ?? 0);
  });
}

/** out[m,n] = before[m,n] * accumulate + sum_k x[m,k] weight[n,k] */
export function matmul(values: Values, sizes: Sizes): Float64Array {
  const { x, weight, out } = values;
  const { rows, out_dim, in_dim, accumulate } = sizes;
  return fill(rows! * out_dim!, (i) => {
    const [m, n] = [Math.floor(i / out_dim!) * in_dim!, (i % out_dim!) * in_dim!];
    const before = accumulate ? out![i]! : 0;
    return before + sum(in_dim!, (k) => x![m + k]! * weight![n + k]!);
  });
}

/** Rotation of coordinate pairs by (cos, sin). */
export function rope({ x, table }: Values, sizes: Sizes): Float64Array {
  const { heads, head_dim, layout } = sizes;
  const half = head_dim! / 2;
  return fill(x!.length, (i) => {
    const d = i % head_dim!;
    const row = Math.floor(i / (heads! * head_dim!));
    const [pair, second] = layout === 0 ? [d % half, d >= half] : [d >> 1, d % 2 === 1];
    const other = layout === 0 ? (second ? i - half : i + half) : i ^ 1;
    const cos = table![(row * half + pair) * 2]!;
    const sin = table![(row * half + pair) * 2 + 1]!;
    return second ? x![i]! * cos + x![other]! * sin : x![i]! * cos - x![other]! * sin;
  });
}

/** cache[slots[r] / page_size, h, slots[r] % page_size, :] = x[r,h,:] */
export function kvStore({ cache, x, slots }: Values, sizes: Sizes): Float64Array {
  const { rows, kv_heads, head_dim, page_size } = sizes;
  const result = cache!.slice();
  for (let r = 0; r < rows!; r++) {
    const page = Math.floor(slots![r]! / page_size!);
    for (let h = 0; h < kv_heads!; h++) {
      const line = (page * kv_heads! + h) * page_size! + (slots![r]! % page_size!);
      const from = (r * kv_heads! + h) * head_dim!;
      result.set(x!.subarray(from, from + head_dim!), line * head_dim!);
    }
  }
  return result;
}

/** Causal attention by a dense softmax, row by row and head by head. */
export function attention(values: Values, sizes: Sizes): Float64Array {
  const { q, keys, values: cached, page_table, row_sequence, row_position } = values;
  const { rows, heads, kv_heads, head_dim, page_size, max_pages, scale } = sizes;
  const out = new Float64Array(rows! * heads! * head_dim!);
  for (let r = 0; r < rows!; r++) {
    for (let h = 0; h < heads!; h++) {
      const kvHead = Math.floor(h / (heads! / kv_heads!));
      const line = (j: number) => {
        const page = page_table![row_sequence![r]! * max_pages! + Math.floor(j / page_size!)]!;
        return ((page * kv_heads! + kvHead) * page_size! + (j % page_size!)) * head_dim!;
      };
      const at = (r * heads! + h) * head_dim!;
      const count = row_position![r]! + 1;
      const scores = fill(
        count,
        (j) => scale! * sum(head_dim!, (d) => q![at + d]! * keys![line(j) + d]!),
      );
      const weights = softmax({ x: scores }, { rows: 1, dim: count });
      for (let d = 0; d < head_dim!; d++) {
        out[at + d] = sum(count, (j) => weights[j]! * cached![line(j) + d]!);
      }
    }
  }
  return out;
}

/** out = silu(gate) * up */
export function swiglu({ gate, up }: Values): Float64Array {
  return fill(gate!.length, (i) => silu(gate![i]!) * up![i]!);
}

function largest(x: Float64Array): number {
  return x.reduce((a, b) => Math.max(a, b), -Infinity);
}

/** out = exp(x - max) / sum */
export function softmax({ x }: Values, { rows, dim }: Sizes): Float64Array {
  const out = new Float64Array(rows! * dim!);
  for (let r = 0; r < rows!; r++) {
    const row = x!.subarray(r * dim!, (r + 1) * dim!);
    const top = largest(row);
    const total = sum(dim!, (i) => Math.exp(row[i]! - top));
    out.set(row.map((v) => Math.exp(v - top) / total), r * dim!);
  }
  return out;
}

/** Index of the first largest element. */
export function argmax({ x }: Values, { rows, dim }: Sizes): Float64Array {
  return fill(rows!, (r) => {
    const row = x!.subarray(r * dim!, (r + 1) * dim!);
    return row.indexOf(largest(row));
  });
}

/** log sum exp of every row. */
export function logZ({ logits }: Values, { rows, vocab }: Sizes): Float64Array {
  return fill(rows!, (r) => {
    const row = logits!.subarray(r * vocab!, (r + 1) * vocab!);
    const top = largest(row);
    return top + Math.log(sum(vocab!, (i) => Math.exp(row[i]! - top)));
  });
}

/** logits[r,targets[r]] - log_z[r], 0 where the target is negative. */
export function logProb(values: Values, sizes: Sizes): Float64Array {
  const z = logZ(values, sizes);
  const { logits, targets } = values;
  return fill(sizes.rows!, (r) => {
    const target = targets![r]!;
    return target < 0 ? 0 : logits![r * sizes.vocab! + target]! - z[r]!;
  });
}
