/**
 * THE table of kernel tests: every kernel once, with its shapes (odd tails included), its initial
 * numbers, its tolerance and its truth in double precision. Correctness on every backend, equality of
 * bits over threads and rows, and whatever else is to hold for all kernels, run from it.
 *
 * Tensor shapes and element types come from the kernel table; sizes name its dimensions.
 *
 * @module
 */

import type { KernelName } from "../../lib/backend/kernels.generated.ts";
import type { DType } from "../../lib/tensor/dtype.ts";
import * as truth from "./reference.ts";
import type { Sizes, Values } from "./reference.ts";
import { TRAINING_CASES } from "./cases_training.ts";
import { TRAINING_PRODUCT_CASES } from "./cases_training_products.ts";

/** One call of a kernel. */
export interface KernelCase {
  /** Extents by dimension name, and the scalars that no shape tells. */
  readonly sizes: Sizes;
  /** Element types by the name of the scalar that carries them; f32 where not named. */
  readonly types?: Readonly<Record<string, DType>>;
  /** Row strides, in elements, of arguments whose rows do not lie side by side. */
  readonly strides?: Readonly<Record<string, number>>;
  /** Optional arguments that are given. */
  readonly present?: readonly string[];
  /** Whether its rows lie interleaved in an argument, so that none can be taken out by itself. */
  readonly interleaved?: boolean;
  /** The tolerance where what it computes is rounded on the way, so that it has no slopes either. */
  readonly tolerance?: number;
}

/** Number of an argument at an index, from a uniform draw in [0, 1). */
export type Initial = (u: number, index: number, sizes: Sizes) => number;

/** The truth of an argument, from the numbers of all of them. */
export type Truth = (values: Values, sizes: Sizes) => Float64Array;

/** What a backward kernel is the gradient of, for its check by finite differences. */
export interface GradientOf {
  /** The forward formula in double precision. */
  readonly of: Truth;
  /** The argument that holds the gradient of the formula's result. */
  readonly upstream: string;
  /** The formula's argument that each gradient belongs to. */
  readonly along: Readonly<Record<string, string>>;
}

/** All that is to be tested of one kernel. */
export interface KernelEntry {
  /** The calls. */
  readonly cases: readonly KernelCase[];
  /** Initial numbers of arguments; where not named they are uniform in [-1, 1). */
  readonly initial?: Readonly<Record<string, Initial>>;
  /** The truth of every argument that the kernel writes. */
  readonly results: Readonly<Record<string, Truth>>;
  /** Inputs that follow from the others, as a forward kernel left them. */
  readonly derived?: Readonly<Record<string, Truth>>;
  /** What the kernel differentiates, if it is a backward one. */
  readonly gradient?: GradientOf;
  /** Whether a row's result depends on other rows, so that a row alone is another question. */
  readonly coupled?: boolean;
  /** The largest difference, as a share of the largest true number; 0 for exact kernels. */
  readonly tolerance: number;
}

/** Kernels that the table leaves out, and why. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  peak_fma: "measures the machine and computes nothing",
  peak_read: "measures the machine and computes nothing",
  text_open: "tests/tokenizer",
  text_encode: "tests/tokenizer",
  text_begin: "tests/tokenizer",
  text_lines: "tests/tokenizer",
  text_stream: "tests/tokenizer",
  text_close: "tests/tokenizer",
  repack: "tests/kernels/repack_test.ts",
  matmul_repacked: "tests/kernels/repack_test.ts",
  gemm_pack: "tests/kernels/gemm_pack_test.ts",
  quantize_weighted: "tests/quant/golden_hashes_test.ts",
  text_train_open: "tests/tokenizer/train",
  text_train_feed: "tests/tokenizer/train",
  text_train_prepare: "tests/tokenizer/train",
  text_train_step: "tests/tokenizer/train",
  text_train_pieces: "tests/tokenizer/train",
  text_train_close: "tests/tokenizer/train",
};

const each = (...sizes: Sizes[]): KernelCase[] => sizes.map((one) => ({ sizes: one }));

/** Rows and widths: one element, odd tails, whole vectors, more than one chunk for the threads. */
const ROWS: readonly Sizes[] = [
  { rows: 1, dim: 1 },
  { rows: 2, dim: 7 },
  { rows: 3, dim: 37 },
  { rows: 5, dim: 64 },
  { rows: 2, dim: 1027 },
  { rows: 70, dim: 1537 },
];

const withScalars = (scalars: Sizes): KernelCase[] =>
  ROWS.map((sizes) => ({ sizes: { ...sizes, ...scalars } }));

const index = (limit: string): Initial => (u, _, sizes) => Math.floor(u * sizes[limit]!);

const cached = (sizes: Sizes, type: DType): KernelCase => ({ sizes, types: { cache_dtype: type } });

const matmulCases: readonly KernelCase[] = (
  [
    ...[["f32", "f32"], ["f32", "f16"], ["f32", "bf16"], ["f32", "q8_0"]] as const,
    ...[["q8_0", "q8_0"], ["bf16", "bf16"]] as const,
  ] as const
).flatMap(([x, weight]) => {
  const types: Readonly<Record<string, DType>> = { x_dtype: x, weight_dtype: weight };
  const dense = [[1, 1, 1], [1, 67, 96], [3, 5, 32], [5, 33, 160], [9, 70, 65], [40, 130, 384]];
  const multiple = weight === "q8_0" ? 32 : x === "bf16" ? 2 : 1;
  const cases = dense.filter(([, , k]) => k! % multiple === 0).map(
    ([rows, out_dim, in_dim]): KernelCase => ({
      sizes: { rows: rows!, out_dim: out_dim!, in_dim: in_dim!, accumulate: 0 },
      types,
    }),
  );
  const sizes = { rows: 11, out_dim: 21, in_dim: 64, accumulate: 1 };
  return [...cases, { sizes, types, strides: { x: 96, out: 25 } }];
});

const attentionCases: readonly KernelCase[] = (
  [[6, 2, 8, 5], [4, 4, 12, 16], [3, 1, 33, 7], [4, 2, 64, 64], [2, 1, 128, 16]] as const
).flatMap(([heads, kv_heads, head_dim, page_size]) => {
  const max_pages = Math.ceil(150 / page_size);
  const sizes = {
    ...{ rows: 29, heads, kv_heads, head_dim, page_size, max_pages, sequences: 3 },
    ...{ pages: 3 * max_pages, scale: 1 / Math.sqrt(head_dim) },
  };
  const width = heads * head_dim;
  return [
    cached(sizes, "f32"),
    { ...cached(sizes, "f16"), strides: { q: width + 8, out: width + 3 } },
    ...(head_dim % 32 === 0 ? [cached(sizes, "q8_0")] : []),
  ];
});

/** One row far into a long sequence: its positions are shared out among the threads. */
const longAttention: KernelCase = {
  sizes: {
    ...{ rows: 1, heads: 4, kv_heads: 1, head_dim: 16, page_size: 64, max_pages: 30 },
    ...{ sequences: 1, pages: 30, scale: 0.25, positions: 1900 },
  },
};

/** The table. */
export const CASES: Readonly<Partial<Record<KernelName, KernelEntry>>> = {
  embedding: {
    cases: (["f32", "f16", "bf16", "q8_0"] as const).flatMap((table_dtype) =>
      [{ rows: 6, vocab: 23, dim: 32 }, { rows: 40, vocab: 50, dim: 1024 }, {
        ...{ rows: 1, vocab: 3, dim: table_dtype === "q8_0" ? 64 : 37 },
      }].map((sizes) => ({ sizes, types: { table_dtype } }))
    ),
    initial: { ids: index("vocab") },
    results: { out: truth.embedding },
    tolerance: 0,
  },
  rms_norm: {
    cases: withScalars({ eps: 1e-5 }),
    results: { out: truth.rmsNorm },
    tolerance: 1e-6,
  },
  layer_norm: {
    cases: [
      ...withScalars({ eps: 1e-5 }),
      { sizes: { rows: 3, dim: 37, eps: 1e-5 }, present: ["bias"] },
    ],
    results: { out: truth.layerNorm },
    tolerance: 2e-6,
  },
  matmul: {
    cases: matmulCases,
    results: { out: truth.matmul },
    tolerance: 2e-6,
  },
  convert: {
    cases: ([
      ["f32", "f16"],
      ["f32", "bf16"],
      ["f32", "q8_0"],
      ["f16", "f32"],
      ["bf16", "f32"],
      ["q8_0", "f32"],
      ["f32", "f32"],
    ] as const).flatMap(([x_dtype, out_dtype]) => {
      const blocks = x_dtype === "q8_0" || out_dtype === "q8_0";
      const shapes = [{ rows: 1, dim: 32 }, { rows: 5, dim: blocks ? 96 : 37 }, {
        ...{ rows: 40, dim: 2048 },
      }];
      return shapes.map((sizes) => ({ sizes, types: { x_dtype, out_dtype } }));
    }),
    results: { out: ({ x }) => x! },
    tolerance: 0,
  },
  rope: {
    cases: [0, 1].flatMap((layout): KernelCase[] => [
      ...each(
        { rows: 1, heads: 1, head_dim: 2, layout },
        { rows: 3, heads: 5, head_dim: 12, layout },
        { rows: 40, heads: 8, head_dim: 128, layout },
      ),
      { sizes: { rows: 4, heads: 3, head_dim: 10, layout }, strides: { x: 41 } },
    ]),
    results: { x: truth.rope },
    tolerance: 1e-6,
  },
  kv_store: {
    cases: (["f32", "f16"] as const).flatMap((type): KernelCase[] => [
      cached({ rows: 1, kv_heads: 1, head_dim: 1, pages: 1, page_size: 1 }, type),
      cached({ rows: 20, kv_heads: 3, head_dim: 33, pages: 4, page_size: 16 }, type),
      {
        ...cached({ rows: 64, kv_heads: 8, head_dim: 128, pages: 2, page_size: 64 }, type),
        strides: { x: 1030 },
      },
    ]).concat(cached({ rows: 20, kv_heads: 3, head_dim: 64, pages: 4, page_size: 16 }, "q8_0")),
    initial: {
      cache: (u) => u,
      // Every slot once at most: the step has no factor in common with the number of slots.
      slots: (_, i, { pages, page_size }) => (i * 37) % (pages! * page_size!),
    },
    results: { cache: truth.kvStore },
    tolerance: 0,
  },
  attention: {
    cases: [...attentionCases, longAttention],
    initial: {
      page_table: (_, i, { pages, max_pages, sequences }) =>
        pages! - 1 - (i % (max_pages! * sequences!)),
      row_sequence: (_, i, { rows, sequences }) => Math.floor((i * sequences!) / rows!),
      // The first sequence is a prompt in order, the others ask from anywhere.
      row_position: (u, i, { positions = 150, rows, sequences }) =>
        rows === 1 ? positions - 1 : i < rows! / sequences! ? i : Math.floor(u * positions),
    },
    results: { out: truth.attention },
    tolerance: 2e-6,
  },
  swiglu: {
    cases: [
      ...each(...ROWS),
      { sizes: { rows: 9, dim: 43 }, strides: { gate: 86, up: 90 } },
    ],
    initial: { gate: (u) => 40 * u - 20 },
    results: { out: truth.swiglu },
    tolerance: 1e-6,
  },
  add: {
    cases: each({ count: 1 }, { count: 31 }, { count: 4096 }, { count: 100_003 }),
    results: { out: ({ out, x }) => out!.map((v, i) => Math.fround(v + x![i]!)) },
    tolerance: 0,
  },
  scale: {
    cases: each({ count: 1, factor: -2 }, { count: 31, factor: 0.5 }, {
      ...{ count: 100_003, factor: Math.fround(0.3) },
    }),
    results: { x: ({ x }, { factor }) => x!.map((v) => Math.fround(v * factor!)) },
    tolerance: 0,
  },
  softmax: {
    cases: each(...ROWS),
    initial: { x: (u) => 16 * u },
    results: { out: truth.softmax },
    tolerance: 2e-6,
  },
  argmax: {
    cases: each(...ROWS),
    // Few different values, so that rows have ties.
    initial: { x: (u) => Math.floor(u * 500) },
    results: { out: truth.argmax },
    tolerance: 0,
  },
  score: {
    cases: each(
      { rows: 1, vocab: 1 },
      { rows: 5, vocab: 23 },
      { rows: 3, vocab: 513 },
      { rows: 6, vocab: 32_000 },
    ),
    initial: {
      logits: (u) => 24 * u,
      targets: (u, i, { vocab }) => i % 3 === 2 ? -100 : Math.floor(u * vocab!),
    },
    results: { log_z: truth.logZ, log_prob: truth.logProb },
    tolerance: 1e-6,
  },
  ...TRAINING_CASES,
  ...TRAINING_PRODUCT_CASES,
};
