import assert from "node:assert/strict";
import { RandomStream } from "../../lib/base/random.ts";
import * as ops from "../../lib/tensor/ops.ts";
import * as training from "../../lib/tensor/ops_training.ts";
import { allocate, fromValues, reshape, type Tensor, toValues } from "../../lib/tensor/tensor.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import { assertClose } from "../numeric.ts";
import { onBackends } from "../on_backends.ts";
import { type GoldenArray, goldenOp } from "./golden_ops.ts";

/** Recommended for single operations by the golden numbers' README: 1e-5 of the largest output. */
const TOLERANCE = 1e-5;

type Op = (name: string) => GoldenArray;

const compare = (what: string, got: Tensor, { values, shape }: GoldenArray): void =>
  assertClose([toValues(got), values], { what, shape, ofLargest: TOLERANCE });

const upload = (backend: Backend, array: GoldenArray): Tensor => fromValues(backend, array);

const zeros = (backend: Backend, { shape, values }: GoldenArray): Tensor =>
  fromValues(backend, { shape, values: values.map(() => 0) });

onBackends("golden gradients: rms_norm and layer_norm", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  for (
    const [name, differentiate] of [
      ["rms_norm", training.rmsNormBackward],
      ["layer_norm", training.layerNormBackward],
    ] as const
  ) {
    const op = await goldenOp(name);
    const [dx, dweight] = [zeros(backend, op("x")), zeros(backend, op("w"))];
    const [dy, x, weight] = ["dy", "x", "w"].map((each) => upload(backend, op(each)));
    differentiate({ dx, dweight, dy: dy!, x: x!, weight: weight!, eps: 1e-5 });
    compare(`${name} dx`, dx, op("d_x"));
    compare(`${name} dw`, dweight, op("d_w"));
  }
}, { gpu: true });

onBackends("golden gradients: swiglu", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const op = await goldenOp("swiglu_gate");
  const [dgate, dup, out] = ["gate", "up", "y"].map((name) => allocate(backend, op(name)));
  const [dy, gate, up] = ["dy", "gate", "up"].map((name) => upload(backend, op(name)));
  training.swigluBackward({
    ...{ dgate: dgate!, dup: dup!, out: out! },
    ...{ dy: dy!, gate: gate!, up: up! },
  });
  compare("dgate", dgate!, op("d_gate"));
  compare("dup", dup!, op("d_up"));
  compare("the result again", out!, op("y"));
}, { gpu: true });

onBackends("golden gradients: rope is turned back by the same angles negated", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const op = await goldenOp("rope");
  const [batch, length, heads, headDim] = op("x").shape as [number, number, number, number];
  const half = headDim / 2;
  const angles = Array.from(op("positions").values).flatMap((position) =>
    Array.from({ length: half }, (_, i) => position * 10000 ** (-i / half))
  );
  const table = fromValues(backend, {
    shape: [batch * length, half, 2],
    values: angles.flatMap((angle) => [Math.cos(angle), -Math.sin(angle)]),
  });
  const dx = fromValues(backend, {
    shape: [batch * length, heads, headDim],
    values: op("dy").values,
  });
  ops.rope({ x: dx, table, layout: "half" });
  compare("rope dx", dx, op("d_x"));
}, { gpu: true });

/** First row of each row's document: documents are runs of equal ids within a sequence. */
function startsOf(ids: ArrayLike<number> | undefined, rows: number, length: number): number[] {
  const starts: number[] = [];
  for (let row = 0; row < rows; row++) {
    const begins = row % length === 0 || (ids !== undefined && ids[row] !== ids[row - 1]);
    starts.push(begins ? row : starts[row - 1]!);
  }
  return starts;
}

function attentionGradients(backend: Backend, op: Op, ids?: ArrayLike<number>): void {
  const [batch, length, heads] = op("q").shape as [number, number, number];
  const rows = batch * length;
  const inRows = (tensor: Tensor) => reshape(tensor, [rows, ...tensor.shape.slice(2)]);
  const [q, k, v, dout] = ["q", "k", "v", "dy"].map((each) => inRows(upload(backend, op(each))));
  const [out, dq, dk, dv] = ["y", "q", "k", "v"].map((each) => inRows(allocate(backend, op(each))));
  const logZ = allocate(backend, { shape: [rows, heads] });
  const values = startsOf(ids, rows, length);
  const starts = fromValues(backend, { dtype: "i32", shape: [rows], values });
  const forward = { out: out!, logZ, q: q!, k: k!, v: v!, starts };
  training.attentionForward(forward);
  compare("attention", out!, op("y"));
  training.attentionBackward({ ...forward, dq: dq!, dk: dk!, dv: dv!, dout: dout! });
  compare("dq", dq!, op("d_q"));
  compare("dk", dk!, op("d_k"));
  compare("dv", dv!, op("d_v"));
}

onBackends("golden gradients: attention of whole sequences and of documents", async ({ open }) => {
  using opened = await open(2);
  attentionGradients(opened.backend, await goldenOp("attention"));
  const documents = await goldenOp("attention_docs");
  attentionGradients(opened.backend, documents, documents("doc_ids").values);
}, { gpu: true });

onBackends("golden gradients: cross-entropy with and without z-loss", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  for (const [name, zLoss] of [["cross_entropy", 0], ["cross_entropy_z", 0.01]] as const) {
    const op = await goldenOp(name);
    const rows = op("targets").values.length;
    const counted = op("targets").values.filter((target) => target >= 0).length;
    assert.ok(counted < rows, "some row does not count");
    const shape = [rows];
    const vocab = op("logits").shape.at(-1)!;
    const logits = reshape(upload(backend, op("logits")), [rows, vocab]);
    training.crossEntropy({
      logits,
      logProb: allocate(backend, { shape }),
      logZ: allocate(backend, { shape }),
      targets: fromValues(backend, { dtype: "i32", shape, values: op("targets").values }),
      weights: fromValues(backend, { shape, values: Array(rows).fill(1 / counted) }),
      zLoss,
    });
    compare(`${name} d_logits`, logits, op("d_logits"));
  }
}, { gpu: true });

onBackends("golden gradients: embedding adds up repeated ids", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const op = await goldenOp("embedding");
  const dtable = zeros(backend, op("w"));
  const dim = op("w").shape[1]!;
  const rows = op("ids").values.length;
  const ids = fromValues(backend, { dtype: "i32", shape: [rows], values: op("ids").values });
  training.embeddingBackward({ dtable, dy: reshape(upload(backend, op("dy")), [rows, dim]), ids });
  compare("embedding d_w", dtable, op("d_w"));
}, { gpu: true });

onBackends("dropout of a tensor draws from the stream that RandomStream draws from", async (on) => {
  using opened = await on.open();
  const x = fromValues(opened.backend, { shape: [40, 50], values: Array(2000).fill(1) });
  training.dropout({ x, probability: 0.25, seed: 9, stream: 4, offset: 100 });
  const words = new RandomStream(9, 4);
  const kept = (j: number) => words.bits(Math.floor(j / 4))[j % 4]! >= 2 ** 30;
  const factor = Math.fround(1 / 0.75);
  const want = Float64Array.from({ length: 2000 }, (_, i) => kept(100 + i) ? factor : 0);
  assertClose([toValues(x), want], { what: "dropout" });
}, { gpu: true });
