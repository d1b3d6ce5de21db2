/**
 * The table of kernel tests, training's part: backward kernels, the loss, dropout.
 *
 * @module
 */

import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { KernelName } from "../../lib/backend/kernels.generated.ts";
import type { KernelCase, KernelEntry } from "./cases.ts";
import * as forward from "./reference.ts";
import type { Sizes } from "./reference.ts";
import * as truth from "./reference_training.ts";

/** Rows and widths; more rows than one block of the sums over rows holds. */
const ROWS: readonly Sizes[] = [
  { rows: 1, dim: 1, eps: 1e-5 },
  { rows: 2, dim: 7, eps: 1e-5 },
  { rows: 3, dim: 37, eps: 1e-5 },
  { rows: 5, dim: 64, eps: 1e-2 },
  { rows: 2, dim: 1027, eps: 1e-5 },
  { rows: 131, dim: 1537, eps: 1e-5 },
];

/** Documents of several lengths, over and over; the last one ends with the rows. */
const LENGTHS = [5, 1, 12, 3, 70, 1, 1, 29];

/** The first row of the document of a row; every row of one where there are few. */
function startOf(row: number, { rows, one_document }: Sizes): number {
  if (one_document) return 0;
  let [start, next] = [0, 0];
  for (let i = 0; next <= row && next < rows!; i++) {
    start = next;
    next += LENGTHS[i % LENGTHS.length]!;
  }
  return start;
}

const heads = (
  rows: number,
  [heads, kv_heads, head_dim]: readonly [number, number, number],
  one_document = 0,
): Sizes => {
  const scale = 1 / Math.sqrt(head_dim);
  return { rows, heads, kv_heads, head_dim, one_document, scale, precision: DTYPE_CODES.f32 };
};

const attentionCases = (gradients: boolean): KernelCase[] => {
  const width = 6 * 33 + 2 * 3 * 33;
  const outer = gradients ? { dout: 207, dq: width, dk: width, dv: width } : {};
  const exact: KernelCase[] = [
    { sizes: heads(1, [1, 1, 1]) },
    { sizes: heads(9, [2, 1, 3], 1) },
    { sizes: heads(40, [6, 2, 12]) },
    { sizes: heads(61, [2, 2, 48], 1) },
    { sizes: heads(130, [4, 1, 64]) },
    { sizes: heads(201, [2, 1, 128], 1) },
    { sizes: heads(150, [1, 1, 256], 1) },
    {
      sizes: heads(133, [6, 3, 33]),
      strides: { q: width, k: width, v: width, out: 203, ...outer },
    },
  ];
  // Weights and gradients of scores are rounded too, each by up to 2^-9 of itself.
  const rounded = exact.map(({ sizes, strides = {} }) => ({
    sizes: { ...sizes, precision: DTYPE_CODES.bf16 },
    strides,
    tolerance: gradients ? 8e-3 : 4e-3,
  }));
  return [...exact, ...rounded];
};

/** The table. */
export const TRAINING_CASES: Readonly<Partial<Record<KernelName, KernelEntry>>> = {
  rms_norm_backward: {
    cases: ROWS.map((sizes) => ({ sizes })),
    results: { dx: truth.rmsNormDx, dweight: truth.rmsNormDweight },
    gradient: { of: forward.rmsNorm, upstream: "dy", along: { dx: "x", dweight: "weight" } },
    tolerance: 2e-6,
  },
  layer_norm_backward: {
    cases: [
      // A single number has no spread, and its gradient cancels down to the rounding.
      ...ROWS.slice(1).map((sizes) => ({ sizes })),
      { sizes: ROWS[2]!, present: ["dbias"] },
      { sizes: ROWS[5]!, present: ["dbias"] },
    ],
    results: {
      dx: truth.layerNormDx,
      dweight: truth.layerNormDweight,
      dbias: truth.layerNormDbias,
    },
    gradient: { of: forward.layerNorm, upstream: "dy", along: { dx: "x", dweight: "weight" } },
    tolerance: 3e-6,
  },
  swiglu_backward: {
    cases: [
      ...ROWS.map((sizes) => ({ sizes })),
      {
        sizes: { rows: 9, dim: 43 },
        strides: { gate: 86, up: 90, dgate: 47, dup: 43 },
        present: ["out"],
      },
      { sizes: { rows: 40, dim: 1030 }, present: ["out"] },
    ],
    initial: { gate: (u) => 40 * u - 20 },
    results: { dgate: truth.swigluDgate, dup: truth.swigluDup, out: forward.swiglu },
    gradient: { of: forward.swiglu, upstream: "dy", along: { dgate: "gate", dup: "up" } },
    tolerance: 1e-6,
  },
  attention_forward: {
    cases: attentionCases(false),
    coupled: true,
    initial: { starts: (_, row, sizes) => startOf(row, sizes), q: (u) => 8 * u - 4 },
    results: { out: truth.attentionForward, log_z: truth.attentionLogZ },
    tolerance: 2e-6,
  },
  attention_backward: {
    cases: attentionCases(true),
    coupled: true,
    initial: { starts: (_, row, sizes) => startOf(row, sizes), q: (u) => 8 * u - 4 },
    derived: { out: truth.attentionForward, log_z: truth.attentionLogZ },
    results: { dq: truth.attentionDq, dk: truth.attentionDk, dv: truth.attentionDv },
    gradient: {
      of: truth.attentionForward,
      upstream: "dout",
      along: { dq: "q", dk: "k", dv: "v" },
    },
    tolerance: 3e-6,
  },
  cross_entropy: {
    cases: [0, 1e-2].flatMap((z_loss): KernelCase[] =>
      [[1, 1], [5, 23], [3, 513], [6, 32_000]].map(([rows, vocab]) => ({
        sizes: { rows: rows!, vocab: vocab!, z_loss },
      }))
    ),
    initial: {
      logits: (u) => 24 * u,
      targets: (u, i, { vocab }) => i % 3 === 2 ? -100 : Math.floor(u * vocab!),
      weights: (u, i) => i % 5 === 4 ? 0 : u + 0.5,
    },
    results: {
      logits: truth.crossEntropyGradient,
      log_z: forward.logZ,
      log_prob: forward.logProb,
    },
    tolerance: 2e-6,
  },
  score_part: {
    cases: [[], ["exponentials"]].flatMap((present) =>
      [[1, 1], [5, 23], [3, 513], [6, 16_001]].map(([rows, vocab]) => ({
        sizes: { rows: rows!, vocab: vocab! },
        present,
      }))
    ),
    initial: {
      logits: (u) => 24 * u,
      targets: (u, i, { vocab }) => i % 3 === 2 ? -1 : Math.floor(u * vocab!),
    },
    results: {
      exponentials: truth.partExponentials,
      shift: truth.partShift,
      sum: truth.partSum,
      chosen: truth.partChosen,
    },
    tolerance: 2e-6,
  },
  cross_entropy_part: {
    cases: [[1, 1], [5, 23], [3, 513], [6, 16_001]].map(([rows, vocab]) => ({
      sizes: { rows: rows!, vocab: vocab! },
    })),
    initial: {
      logits: (u) => u,
      targets: (u, i, { vocab }) => i % 3 === 2 ? -1 : Math.floor(u * vocab!),
      weights: (u, i) => i % 5 === 4 ? 0 : u + 0.5,
    },
    results: { logits: truth.crossEntropyPart },
    tolerance: 1e-6,
  },
  embedding_backward: {
    cases: [
      { sizes: { rows: 1, vocab: 3, dim: 1 } },
      { sizes: { rows: 50, vocab: 7, dim: 37 } },
      { sizes: { rows: 300, vocab: 11, dim: 1027 } },
    ],
    initial: { ids: (u, _, { vocab }) => Math.floor(u * vocab!) },
    results: { dtable: truth.embeddingDtable },
    tolerance: 2e-6,
  },
  dropout: {
    cases: [
      { count: 1, offset: 0, seed: 0, stream: 0, probability: 0.5 },
      { count: 4099, offset: 3, seed: 42, stream: 7, probability: 0.1 },
      { count: 100_003, offset: 1_000_001, seed: 2 ** 40 + 5, stream: 2 ** 35, probability: 0.25 },
      { count: 9000, offset: 2 ** 34 - 2, seed: 2 ** 53 - 1, stream: 3, probability: 0.9 },
      { count: 100, offset: 0, seed: 1, stream: 1, probability: 0 },
    ].map((sizes) => ({ sizes: { ...sizes, probability: Math.fround(sizes.probability) } })),
    results: { x: truth.dropout },
    tolerance: 0,
  },
};
