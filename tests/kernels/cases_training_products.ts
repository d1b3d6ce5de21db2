/**
 * The kernel tests of a training step's products and of the optimizers, by the rules of `cases.ts`.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { KernelName } from "../../lib/backend/kernels.generated.ts";
import type { KernelCase, KernelEntry } from "./cases.ts";
import { fill, narrowed, type Sizes, type Values } from "./reference.ts";

const { f32, bf16 } = DTYPE_CODES;

/** Which axis of an operand lies side by side in memory. */
type Order = "lines" | "depth";

/** Extents of one product, and what is added where. */
interface ProductShape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly accumulate?: number;
}

const strides = (lines: number, depth: number, order: Order): readonly [number, number] =>
  order === "depth" ? [depth, 1] : [1, lines];

function product(
  { rows, columns, depth, accumulate = 0 }: ProductShape,
  [a, b]: readonly [Order, Order],
  precision: number,
): KernelCase {
  const [a_row_stride, a_depth_stride] = strides(rows, depth, a);
  const [b_column_stride, b_depth_stride] = strides(columns, depth, b);
  const sizes = {
    ...{ rows, columns, depth, accumulate, precision, b_packed: 0 },
    ...{ a_row_stride, a_depth_stride, b_column_stride, b_depth_stride },
  };
  return { sizes, interleaved: a === "lines" && rows > 1 };
}

/** Forward, gradient of the input, gradient of the weight. */
const ORDERS: readonly (readonly [Order, Order])[] = [
  ["depth", "depth"],
  ["depth", "lines"],
  ["lines", "lines"],
];

const SHAPES: readonly ProductShape[] = [
  { rows: 1, columns: 1, depth: 1 },
  { rows: 3, columns: 5, depth: 7 },
  { rows: 13, columns: 33, depth: 65, accumulate: 1 },
  { rows: 29, columns: 70, depth: 1030 },
  { rows: 150, columns: 97, depth: 48, accumulate: 1 },
];

/** Extents of products of mixed types: none a multiple of anything, all multiples of 8. */
const MIXED: readonly ProductShape[] = [
  { rows: 19, columns: 35, depth: 67 },
  { rows: 136, columns: 264, depth: 72, accumulate: 1 },
];

const gemmCases: readonly KernelCase[] = ORDERS.flatMap((order) => [
  ...SHAPES.flatMap((shape) => [f32, bf16].map((precision) => product(shape, order, precision))),
  {
    ...product({ rows: 14, columns: 21, depth: 40, accumulate: 1 }, order, f32),
    strides: { out: 25 },
  },
  ...([["bf16", "f32"], ["f32", "bf16"], ["bf16", "bf16"]] as const).flatMap(([a_dtype, b_dtype]) =>
    [f32, bf16].flatMap((precision) =>
      MIXED.map((shape) => ({
        ...product(shape, order, precision),
        types: { a_dtype, b_dtype },
      }))
    )
  ),
]);

/** out[r,c] = before[r,c] * accumulate + sum_k a[r,k] b[c,k], operands rounded to the precision. */
function gemm(values: Values, sizes: Sizes): Float64Array {
  const { rows, columns, depth } = sizes;
  const round = sizes.precision === bf16 ? narrowed : (x: Float64Array) => x;
  const [a, b] = [round(values.a!), round(values.b!)];
  return fill(rows! * columns!, (i) => {
    let total = sizes.accumulate ? values.out![i]! : 0;
    const row = Math.floor(i / columns!) * sizes.a_row_stride!;
    const column = (i % columns!) * sizes.b_column_stride!;
    for (let k = 0; k < depth!; k++) {
      total += a[row + k * sizes.a_depth_stride!]! * b[column + k * sizes.b_depth_stride!]!;
    }
    return total;
  });
}

const COUNTS = [{ count: 1 }, { count: 37 }, { count: 70_001 }];
const counts: readonly KernelCase[] = COUNTS.map((sizes) => ({ sizes, present: ["compute"] }));

const listed = (...values: number[]) => (_: number, index: number) => values[index]!;

/** What the optimizers' cases have in common: a gradient to be halved. */
const STATE = {
  v: (u: number) => u * u + 1e-4,
  clip: listed(3, 0.5, 1),
};

/** Weights, m and v after a step of AdamW, element by element. */
function adamw({ weight, m, v, grad, hyper, clip }: Values): Record<string, Float64Array> {
  const [lr, beta1, beta2, eps, decay, bias1, bias2] = hyper!;
  const g = grad!.map((g) => g * clip![1]!);
  const mean = m!.map((m, i) => beta1! * m + (1 - beta1!) * g[i]!);
  const square = v!.map((v, i) => beta2! * v + (1 - beta2!) * g[i]! ** 2);
  const moved = weight!.map((w, i) => {
    const update = mean[i]! / bias1! / (Math.sqrt(square[i]! / bias2!) + eps!);
    return w - lr! * (update + decay! * w);
  });
  return { weight: moved, m: mean, v: square };
}

const rootMeanSquare = (x: Float64Array) =>
  Math.sqrt(x.reduce((sum, x) => sum + x * x, 0) / x.length);

/** Weights, m and v after a step of Adafactor. */
function adafactor({ weight, m, v, grad, hyper, clip }: Values): Record<string, Float64Array> {
  const [lr, beta1, beta2, limit, decay] = hyper!;
  const g = grad!.map((g) => g * clip![1]!);
  const square = v!.map((v, i) => beta2! * v + (1 - beta2!) * (g[i]! ** 2 + 1e-30));
  const y = g.map((g, i) => g / Math.sqrt(square[i]!));
  const excess = Math.max(1, rootMeanSquare(y) / limit!);
  const scale = lr! * Math.max(rootMeanSquare(weight!), 1e-3) / excess;
  const mean = m!.map((m, i) => beta1! * m + (1 - beta1!) * scale * y[i]!);
  return { weight: weight!.map((w, i) => (1 - decay!) * w - mean[i]!), m: mean, v: square };
}

/** g / sqrt(v) with the second moments of this step. */
function updates(values: Values): Float64Array {
  const { v } = adafactor({ ...values, m: values.v! });
  return values.grad!.map((g, i) => g * values.clip![1]! / Math.sqrt(v![i]!));
}

/** Weights and m after the second half of Adafactor: rms(weight) is 0.5, rms(y) 0.8, its limit 0.4. */
function moved({ weight, m, v, grad, hyper, clip }: Values): Record<string, Float64Array> {
  const [lr, beta1, , , decay] = hyper!;
  const scale = lr! * 0.5 / 2;
  const y = grad!.map((g, i) => g * clip![1]! / Math.sqrt(v![i]!));
  const mean = m!.map((m, i) => beta1! * m + (1 - beta1!) * scale * y[i]!);
  return { m: mean, weight: weight!.map((w, i) => (1 - decay!) * w - mean[i]!) };
}

/** Elements that kernels sum together. */
const PART = 32_768;

const withParts = (sizes: { readonly count: number }) => ({
  ...sizes,
  parts: Math.ceil(sizes.count / PART),
});

/** What every part gives, side by side. */
function byParts(
  x: Float64Array,
  give: (part: Float64Array, at: number) => readonly number[],
): Float64Array {
  const sums: number[] = [];
  for (let at = 0; at < x.length; at += PART) sums.push(...give(x.subarray(at, at + PART), at));
  return Float64Array.from(sums);
}

const results = (step: (values: Values) => Record<string, Float64Array>) => ({
  weight: (values: Values) => step(values).weight!,
  m: (values: Values) => step(values).m!,
  v: (values: Values) => step(values).v!,
});

/** The entries. */
export const TRAINING_PRODUCT_CASES: Readonly<Partial<Record<KernelName, KernelEntry>>> = {
  gemm: { cases: gemmCases, results: { out: gemm }, tolerance: 3e-6 },
  square_sum: {
    cases: COUNTS.map((sizes) => ({ sizes })),
    results: {
      sum: ({ sum, x }) => Float64Array.of(x!.reduce((total, x) => total + x * x, sum![0]!)),
    },
    tolerance: 1e-12,
  },
  square_sums: {
    cases: COUNTS.map((sizes) => ({ sizes: withParts(sizes) })),
    results: { sums: ({ x }) => byParts(x!, (part) => [part.reduce((sum, x) => sum + x * x, 0)]) },
    tolerance: 1e-12,
  },
  clip_scale: {
    cases: [{ sizes: { limit: 1 } }, { sizes: { limit: 3 } }, { sizes: { limit: 0 } }],
    initial: { sum: () => 6.25 },
    results: {
      clip: (_, { limit }) => Float64Array.of(2.5, limit === 1 ? 0.4 : 1, 1),
    },
    tolerance: 1e-7,
  },
  adamw: {
    cases: counts,
    initial: { ...STATE, hyper: listed(1e-2, 0.9, 0.95, 1e-8, 0.1, 0.19, 0.0975) },
    results: results(adamw),
    tolerance: 1e-6,
  },
  adafactor: {
    cases: counts,
    initial: { ...STATE, hyper: listed(1e-2, 0.9, 0.7, 0.4, 1e-4) },
    results: results(adafactor),
    tolerance: 1e-6,
  },
  adafactor_moments: {
    cases: COUNTS.map((sizes) => ({ sizes: withParts(sizes) })),
    initial: { ...STATE, hyper: listed(1e-2, 0.9, 0.7, 0.4, 1e-4) },
    results: {
      v: (values) => adafactor({ ...values, m: values.v! }).v!,
      sums(values) {
        const y = updates(values);
        const squares = (x: Float64Array) => x.reduce((sum, x) => sum + x * x, 0);
        return byParts(values.weight!, (part, at) => [
          squares(part),
          squares(y.subarray(at, at + part.length)),
        ]);
      },
    },
    tolerance: 1e-6,
  },
  adafactor_move: {
    cases: COUNTS.map((sizes) => ({
      sizes: { ...sizes, whole: 3 * sizes.count },
      present: ["compute"],
    })),
    initial: {
      ...STATE,
      hyper: listed(1e-2, 0.9, 0.7, 0.4, 1e-4),
      totals: (_, index, { whole }) => [0.25, 0.64][index]! * whole!,
    },
    results: {
      m: (values) => moved(values).m!,
      weight: (values) => moved(values).weight!,
    },
    tolerance: 1e-6,
  },
};
