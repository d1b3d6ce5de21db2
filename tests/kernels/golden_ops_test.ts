import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import * as ops from "../../lib/tensor/ops.ts";
import { allocate, fromValues, reshape, type Tensor, toValues } from "../../lib/tensor/tensor.ts";
import { assertClose } from "../numeric.ts";
import { onBackends } from "../on_backends.ts";
import { type GoldenArray, goldenOp } from "./golden_ops.ts";
import { ROPE_CASES } from "../golden_tables.ts";

/** Recommended for single operations by the golden numbers' README: 1e-5 of the largest output. */
const TOLERANCE = 1e-5;

const upload = (backend: Backend, array: GoldenArray) => fromValues(backend, array);

function compare(what: string, got: Tensor, want: GoldenArray): void {
  const { values, shape } = want;
  assertClose([toValues(got), values], { what, shape, ofLargest: TOLERANCE });
}

onBackends("golden: linear is the product with a transposed weight", async ({ open }) => {
  using opened = await open();
  const op = await goldenOp("linear");
  const out = allocate(opened.backend, op("y"));
  const [x, weight] = [upload(opened.backend, op("x")), upload(opened.backend, op("w"))];
  ops.matmul({ out, x, weight });
  compare("linear", out, op("y"));
}, { gpu: true });

onBackends("golden: rms_norm and layer_norm", async ({ open }) => {
  using opened = await open();
  for (
    const [name, normalize] of [["rms_norm", ops.rmsNorm], ["layer_norm", ops.layerNorm]] as const
  ) {
    const op = await goldenOp(name);
    const out = allocate(opened.backend, op("y"));
    const [x, weight] = [upload(opened.backend, op("x")), upload(opened.backend, op("w"))];
    normalize({ out, x, weight, eps: 1e-5 });
    compare(name, out, op("y"));
  }
}, { gpu: true });

onBackends("golden: silu is swiglu with up = 1, and swiglu", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const silu = await goldenOp("silu");
  const { shape, values } = silu("x");
  const ones = fromValues(backend, { shape, values: values.map(() => 1) });
  const activated = allocate(backend, { shape });
  ops.swiglu({ out: activated, gate: upload(backend, silu("x")), up: ones });
  compare("silu", activated, silu("y"));
  const gated = await goldenOp("swiglu_gate");
  const out = allocate(backend, gated("y"));
  ops.swiglu({ out, gate: upload(backend, gated("gate")), up: upload(backend, gated("up")) });
  compare("swiglu_gate", out, gated("y"));
}, { gpu: true });

onBackends("golden: softmax", async ({ open }) => {
  using opened = await open();
  const op = await goldenOp("softmax");
  const out = allocate(opened.backend, op("y"));
  ops.softmax({ out, x: upload(opened.backend, op("x")) });
  compare("softmax", out, op("y"));
}, { gpu: true });

onBackends("golden: embedding", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const op = await goldenOp("embedding");
  const out = allocate(backend, op("y"));
  const ids = fromValues(backend, { ...op("ids"), dtype: "i32" });
  ops.embedding({ out, table: upload(backend, op("w")), ids });
  assertClose([toValues(out), op("y").values], { what: "embedding", shape: op("y").shape });
}, { gpu: true });

/** (cos, sin) of every position and pair, in double precision. */
function angles(positions: ArrayLike<number>, frequencies: readonly number[]): number[] {
  return Array.from(positions).flatMap((p) =>
    frequencies.flatMap((f) => [Math.cos(p * f), Math.sin(p * f)])
  );
}

/** The coordinates of every head, with i and i + half moved to 2i and 2i + 1. */
function interleaved(values: ArrayLike<number>, headDim: number): Float64Array<ArrayBuffer> {
  const result = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const d = i % headDim;
    const to = (d % (headDim / 2)) * 2 + (d >= headDim / 2 ? 1 : 0);
    result[i - d + to] = values[i]!;
  }
  return result;
}

onBackends("golden: rope in both layouts", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const op = await goldenOp("rope");
  const [batch, length, heads, headDim] = op("x").shape as [number, number, number, number];
  const rows = batch * length;
  const half = headDim / 2;
  const frequencies = Array.from({ length: half }, (_, i) => 10000 ** (-i / half));
  const table = fromValues(backend, {
    shape: [rows, half, 2],
    values: angles(op("positions").values, frequencies),
  });
  const shape = [rows, heads, headDim];
  const x = fromValues(backend, { shape, values: op("x").values });
  ops.rope({ x, table, layout: "half" });
  compare("rope", x, op("y"));
  const moved = fromValues(backend, { shape, values: interleaved(op("x").values, headDim) });
  ops.rope({ x: moved, table, layout: "interleaved" });
  const want = { shape, values: interleaved(op("y").values, headDim) };
  compare("interleaved rope", moved, want);
}, { gpu: true });

onBackends("golden: rope of the tabled vectors, far positions and scaled ones too", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  assert.ok(ROPE_CASES.length > 1);
  for (const { head_dim, positions, inv_freq, vector, rotated } of ROPE_CASES) {
    const rows = positions.length;
    const table = fromValues(backend, {
      shape: [rows, head_dim / 2, 2],
      values: angles(positions, inv_freq),
    });
    for (
      const [layout, name] of [["half", "rotate_half"], ["interleaved", "interleaved"]] as const
    ) {
      const values = positions.flatMap(() => vector);
      const x = fromValues(backend, { shape: [rows, 1, head_dim], values });
      ops.rope({ x, table, layout });
      const want = Float64Array.from(rotated.flatMap((one) => one[name]));
      compare(`rope ${name} of ${head_dim}`, x, { shape: [rows, head_dim], values: want });
    }
  }
}, { gpu: true });

/** Runs of equal documents in a batch, as sequences: the first row of each, and its length. */
function documents(ids: ArrayLike<number>, length: number): { first: number; length: number }[] {
  const runs: { first: number; length: number }[] = [];
  for (let row = 0; row < ids.length; row++) {
    const last = runs.at(-1);
    if (last && row % length !== 0 && ids[row] === ids[row - 1]) last.length++;
    else runs.push({ first: row, length: 1 });
  }
  return runs;
}

/** Stores all keys and values in pages of four positions and asks for all rows at once. */
function attend(
  backend: Backend,
  op: (name: string) => GoldenArray,
  sequences: readonly { readonly first: number; readonly length: number }[],
): Tensor {
  const [batch, length, heads, headDim] = op("q").shape as [number, number, number, number];
  const kvHeads = op("k").shape[2]!;
  const rows = batch * length;
  const [pageSize, maxPages] = [4, Math.ceil(length / 4)];
  const pages = sequences.length * maxPages;
  const integers = (shape: readonly number[], values: readonly number[]) =>
    fromValues(backend, { dtype: "i32", shape, values });
  const pageOf = (s: number, i: number) => pages - 1 - (s * maxPages + i);
  const place = sequences.flatMap(({ length }, sequence) =>
    Array.from({ length }, (_, position) => ({ sequence, position }))
  );
  const slots = integers(
    [rows],
    place.map((at) =>
      pageOf(at.sequence, Math.floor(at.position / pageSize)) * pageSize + at.position % pageSize
    ),
  );
  const stored = (name: string) => {
    const cache = allocate(backend, { shape: [pages, kvHeads, pageSize, headDim] });
    const x = reshape(upload(backend, op(name)), [rows, kvHeads, headDim]);
    ops.kvStore({ cache, x, slots });
    return cache;
  };
  const out = allocate(backend, { shape: [rows, heads, headDim] });
  ops.attention({
    out,
    q: reshape(upload(backend, op("q")), [rows, heads, headDim]),
    keys: stored("k"),
    values: stored("v"),
    pageTable: integers(
      [sequences.length, maxPages],
      sequences.flatMap((_, s) => Array.from({ length: maxPages }, (_, i) => pageOf(s, i))),
    ),
    rowSequence: integers([rows], place.map((at) => at.sequence)),
    rowPosition: integers([rows], place.map((at) => at.position)),
  });
  return out;
}

onBackends("golden: grouped causal attention over the paged cache", async ({ open }) => {
  using opened = await open();
  const op = await goldenOp("attention");
  const [batch, length] = op("q").shape as [number, number];
  const sequences = Array.from({ length: batch }, (_, b) => ({ first: b * length, length }));
  compare("attention", attend(opened.backend, op, sequences), op("y"));
}, { gpu: true });

onBackends("golden: documents of a batch are sequences of their own", async ({ open }) => {
  using opened = await open();
  const op = await goldenOp("attention_docs");
  const runs = documents(op("doc_ids").values, op("q").shape[1]!);
  assert.ok(runs.length > op("q").shape[0]!, "some row of the batch holds several documents");
  compare("attention_docs", attend(opened.backend, op, runs), op("y"));
}, { gpu: true });

onBackends("golden: cross-entropy and its z-loss from the scores of tokens", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  for (const [name, zCoefficient] of [["cross_entropy", 0], ["cross_entropy_z", 0.01]] as const) {
    const op = await goldenOp(name);
    const targets = op("targets");
    const shape = [targets.values.length];
    const [logProb, logZ] = [allocate(backend, { shape }), allocate(backend, { shape })];
    const logits = upload(backend, op("logits"));
    ops.score({
      logProb,
      logZ,
      logits,
      targets: fromValues(backend, { ...targets, dtype: "i32" }),
    });
    const z = toValues(logZ);
    const losses = toValues(logProb).map((value, row) => zCoefficient * z[row]! ** 2 - value);
    const counted = losses.filter((_, row) => targets.values[row]! >= 0);
    assert.ok(counted.length < losses.length, "some row does not count");
    const mean = counted.reduce((a, b) => a + b, 0) / counted.length;
    compare(name, fromValues(backend, { shape: [1], values: [mean] }), op("y"));
  }
}, { gpu: true });
