/**
 * The backward kernels, the loss and dropout in plain double precision.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { fill, logZ, narrowed, type Sizes, softmax, type Values } from "./reference.ts";

/** A gradient that a formula makes, one number for each element of its argument. */
type Gradient = (values: Values, sizes: Sizes) => Float64Array;

/** Sums over a row of a term of its columns. */
function rowSums(
  { rows, dim }: Sizes,
  term: (row: number, at: number) => number,
): Float64Array {
  const sums = new Float64Array(rows!);
  for (let at = 0; at < rows! * dim!; at++) {
    const row = Math.floor(at / dim!);
    sums[row]! += term(row, at);
  }
  return sums;
}

/** The rows of x as a norm leaves them, and what it multiplied them by. */
function normalized({ x }: Values, sizes: Sizes, centred: boolean) {
  const { dim, eps } = sizes;
  const mean = rowSums(sizes, (_, at) => centred ? x![at]! / dim! : 0);
  const square = rowSums(sizes, (row, at) => (x![at]! - mean[row]!) ** 2 / dim!);
  const factor = square.map((v) => 1 / Math.sqrt(v + eps!));
  const normal = x!.map((v, at) => {
    const row = Math.floor(at / dim!);
    return (v - mean[row]!) * factor[row]!;
  });
  return { normal, factor };
}

const normDx = (centred: boolean): Gradient => (values, sizes) => {
  const { dx, dy, weight } = values;
  const { normal, factor } = normalized(values, sizes, centred);
  const dim = sizes.dim!;
  const inner = dy!.map((v, at) => v * weight![at % dim]!);
  const mean = rowSums(sizes, (_, at) => centred ? inner[at]! / dim : 0);
  const along = rowSums(sizes, (_, at) => inner[at]! * normal[at]! / dim);
  return dx!.map((before, at) => {
    const row = Math.floor(at / dim);
    return before + factor[row]! * (inner[at]! - mean[row]! - normal[at]! * along[row]!);
  });
};

const normDweight = (centred: boolean): Gradient => (values, sizes) => {
  const { dweight, dy } = values;
  const { normal } = normalized(values, sizes, centred);
  const out = dweight!.slice();
  dy!.forEach((v, at) => out[at % sizes.dim!]! += v * normal[at]!);
  return out;
};

/** dx of rms_norm, added to what is there. */
export const rmsNormDx: Gradient = normDx(false);
/** dweight of rms_norm. */
export const rmsNormDweight: Gradient = normDweight(false);
/** dx of layer_norm. */
export const layerNormDx: Gradient = normDx(true);
/** dweight of layer_norm. */
export const layerNormDweight: Gradient = normDweight(true);

/** dbias of layer_norm: the sum of dy over the rows. */
export function layerNormDbias({ dbias, dy }: Values, { dim }: Sizes): Float64Array {
  const out = dbias!.slice();
  dy!.forEach((v, at) => out[at % dim!]! += v);
  return out;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** dgate of swiglu. */
export function swigluDgate({ dy, gate, up }: Values): Float64Array {
  return dy!.map((v, i) => {
    const s = sigmoid(gate![i]!);
    return v * up![i]! * s * (1 + gate![i]! * (1 - s));
  });
}

/** dup of swiglu. */
export function swigluDup({ dy, gate }: Values): Float64Array {
  return dy!.map((v, i) => v * gate![i]! * sigmoid(gate![i]!));
}

/** One query row and head of dense attention: its weights over the rows it sees, and its place. */
interface Seen {
  readonly at: number;
  readonly z: number;
  readonly keys: readonly number[];
  readonly weights: Float64Array;
}

/** What attention multiplies, rounded to its precision. */
function factorsOf(values: Values, { precision }: Sizes): Values {
  if (precision !== DTYPE_CODES.bf16) return values;
  const { q, k, v, dout } = values;
  const rounded = { ...values, q: narrowed(q!), k: narrowed(k!), v: narrowed(v!) };
  return dout === undefined ? rounded : { ...rounded, dout: narrowed(dout) };
}

/** Every query row and head: log of the softmax's sum, weights, and where its keys begin. */
function* seen({ q, k, starts }: Values, sizes: Sizes): Generator<Seen> {
  const { rows, heads, kv_heads, head_dim, scale } = sizes;
  for (let r = 0; r < rows!; r++) {
    for (let h = 0; h < heads!; h++) {
      const at = (r * heads! + h) * head_dim!;
      const kvHead = Math.floor(h / (heads! / kv_heads!));
      const keys = Array.from(
        { length: r - starts![r]! + 1 },
        (_, j) => ((starts![r]! + j) * kv_heads! + kvHead) * head_dim!,
      );
      const scores = Float64Array.from(keys, (key) => {
        let sum = 0;
        for (let d = 0; d < head_dim!; d++) sum += q![at + d]! * k![key + d]!;
        return sum * scale!;
      });
      const [z] = logZ({ logits: scores }, { rows: 1, vocab: keys.length });
      const weights = softmax({ x: scores }, { rows: 1, dim: keys.length });
      yield { at, z: z!, keys, weights };
    }
  }
}

/** Attention of packed documents by a dense softmax. */
export function attentionForward(values: Values, sizes: Sizes): Float64Array {
  const factors = factorsOf(values, sizes);
  const { v, q } = factors;
  const dim = sizes.head_dim!;
  const out = new Float64Array(q!.length);
  for (const { at, keys, weights } of seen(factors, sizes)) {
    keys.forEach((key, j) => {
      for (let d = 0; d < dim; d++) out[at + d]! += weights[j]! * v![key + d]!;
    });
  }
  return out;
}

/** Log of the softmax's sum of every row and head. */
export function attentionLogZ(values: Values, sizes: Sizes): Float64Array {
  return Float64Array.from([...seen(factorsOf(values, sizes), sizes)], ({ z }) => z);
}

const attentionGradients = (values: Values, sizes: Sizes) => {
  const factors = factorsOf(values, sizes);
  const { q, k, v, dout } = factors;
  const dim = sizes.head_dim!;
  const [dq, dk, dv] = [new Float64Array(q!.length), k!.map(() => 0), v!.map(() => 0)];
  for (const { at, keys, weights } of seen(factors, sizes)) {
    const slopes = keys.map((key) => {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += dout![at + d]! * v![key + d]!;
      return sum;
    });
    const along = slopes.reduce((sum, slope, j) => sum + weights[j]! * slope, 0);
    keys.forEach((key, j) => {
      const ds = sizes.scale! * weights[j]! * (slopes[j]! - along);
      for (let d = 0; d < dim; d++) {
        dv[key + d]! += weights[j]! * dout![at + d]!;
        dq[at + d]! += ds * k![key + d]!;
        dk[key + d]! += ds * q![at + d]!;
      }
    });
  }
  return { dq, dk, dv };
};

/** dq of attention. */
export const attentionDq: Gradient = (values, sizes) => attentionGradients(values, sizes).dq;
/** dk of attention. */
export const attentionDk: Gradient = (values, sizes) => attentionGradients(values, sizes).dk;
/** dv of attention. */
export const attentionDv: Gradient = (values, sizes) => attentionGradients(values, sizes).dv;

/** The gradient of sum weight (log_z - logit + z_loss log_z^2) over the rows that have a target. */
export function crossEntropyGradient(values: Values, sizes: Sizes): Float64Array {
  const { logits, targets, weights } = values;
  const { rows, vocab, z_loss } = sizes;
  const z = logZ(values, sizes);
  const p = softmax({ x: logits! }, { rows: rows!, dim: vocab! });
  return fill(rows! * vocab!, (at) => {
    const row = Math.floor(at / vocab!);
    const target = targets![row]!;
    if (target < 0) return 0;
    const chosen = at % vocab! === target ? 1 : 0;
    return weights![row]! * (p[at]! * (1 + 2 * z_loss! * z[row]!) - chosen);
  });
}

/** The largest logit of every row. */
export function partShift({ logits }: Values, { rows, vocab }: Sizes): Float64Array {
  return fill(rows!, (row) => Math.max(...logits!.subarray(row * vocab!, (row + 1) * vocab!)));
}

/** exp(logits - shift) */
export function partExponentials(values: Values, sizes: Sizes): Float64Array {
  const shift = partShift(values, sizes);
  return values.logits!.map((logit, at) => Math.exp(logit - shift[Math.floor(at / sizes.vocab!)]!));
}

/** Sums of the exponentials over every row. */
export function partSum(values: Values, sizes: Sizes): Float64Array {
  const exponentials = partExponentials(values, sizes);
  return rowSums({ rows: sizes.rows!, dim: sizes.vocab! }, (_, at) => exponentials[at]!);
}

/** logits[r,targets[r]], 0 where the target is negative. */
export function partChosen({ logits, targets }: Values, { rows, vocab }: Sizes): Float64Array {
  return fill(rows!, (row) => targets![row]! < 0 ? 0 : logits![row * vocab! + targets![row]!]!);
}

/** factor x - weight onehot(target), 0 where the weight is 0. */
export function crossEntropyPart(values: Values, { rows, vocab }: Sizes): Float64Array {
  const { logits, targets, weights, factors } = values;
  return fill(rows! * vocab!, (at) => {
    const row = Math.floor(at / vocab!);
    if (weights![row] === 0) return 0;
    const chosen = at % vocab! === targets![row] ? 1 : 0;
    return factors![row]! * logits![at]! - weights![row]! * chosen;
  });
}

/** dtable[ids[r],:] += dy[r,:] */
export function embeddingDtable({ dtable, dy, ids }: Values, { rows, dim }: Sizes): Float64Array {
  const out = dtable!.slice();
  for (let r = 0; r < rows!; r++) {
    for (let d = 0; d < dim!; d++) out[ids![r]! * dim! + d]! += dy![r * dim! + d]!;
  }
  return out;
}

/** Elements whose word is below the threshold are 0, the others scaled. */
export function dropout({ x }: Values, sizes: Sizes): Float64Array {
  const { seed, stream, offset, probability } = sizes;
  const words = new RandomStream(seed!, stream!);
  const factor = Math.fround(1 / Math.fround(1 - probability!));
  return x!.map((v, i) => {
    const j = offset! + i;
    const word = words.bits(Math.floor(j / 4))[j % 4]!;
    return word >= probability! * 2 ** 32 ? Math.fround(v * factor) : 0;
  });
}
