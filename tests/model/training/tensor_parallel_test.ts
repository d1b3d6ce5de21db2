import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { runLocal } from "../../../lib/comm/local/run.ts";
import { evenParts } from "../../../lib/comm/parts.ts";
import type { ModelConfig } from "../../../lib/model/config.ts";
import { presetOf } from "../../../lib/model/presets.ts";
import { planTrainingBytes } from "../../../lib/model/training/memory.ts";
import { heldElements, sliceRuns } from "../../../lib/model/training/parts.ts";
import { multipliesBf16 } from "../../../lib/backend/features.ts";
import type { Recompute, TrainBatch } from "../../../lib/model/training/trainable.ts";
import type { WeightSpec } from "../../../lib/model/weights.ts";
import { onBackends } from "../../on_backends.ts";
import { GOLDEN_MODELS, type GoldenModel, goldenSource } from "../golden_models.ts";
import { PATIENCE_MS } from "../../time_limits.ts";
import { goldenDocuments, goldenTrainBatch } from "./golden_training.ts";
import type { PartGradient, TensorInput, TensorResult } from "./tensor_program.ts";

const MODULE = new URL("./tensor_program.ts", import.meta.url);
/** Issue: losses of a mesh against those of one rank, and gradients over the largest of a tensor. */
const LOSS_TOLERANCE = 1e-6;
const GRADIENT_TOLERANCE = 2e-5;

function onTensorRanks(ranks: number, input: TensorInput): Promise<TensorResult[]> {
  return runLocal<TensorResult, TensorInput>(MODULE, { ranks, input, timeLimitMs: PATIENCE_MS });
}

/** Puts a tensor together from what the ranks have of it; all copies must have the same bits. */
function whole(
  parts: readonly PartGradient[],
  of: (part: PartGradient) => Float32Array,
): Float32Array {
  const { shape } = parts[0]!;
  const all = new Float32Array(shape.reduce((product, extent) => product * extent, 1)).fill(NaN);
  for (const part of parts) {
    const held = { spec: { shape } as WeightSpec, slice: part.slice };
    const values = of(part);
    strictEqual(values.length, heldElements(held));
    for (const { whole: to, held: from, count } of sliceRuns(held)) {
      const place = all.subarray(to, to + count);
      const run = values.subarray(from, from + count);
      if (part.copy > 0) deepStrictEqual(run, place, `copies of ${part.name} differ`);
      place.set(run);
    }
  }
  ok(all.every((value) => !Number.isNaN(value)), `${parts[0]!.name} is not whole`);
  return all;
}

function byParameter(results: readonly TensorResult[]): readonly (readonly PartGradient[])[] {
  return results[0]!.gradients.map((_, index) => results.map((one) => one.gradients[index]!));
}

/** Fails unless ranks have the losses and gradients of one. */
function assertAsOne(results: readonly TensorResult[], one: TensorResult): void {
  for (const result of results) {
    deepStrictEqual(result.losses, results[0]!.losses, "losses of the ranks differ");
    deepStrictEqual(result.evaluated, results[0]!.evaluated);
  }
  const near = (what: string, got: number, wanted: number) =>
    ok(
      Math.abs(got - wanted) <= LOSS_TOLERANCE * Math.abs(wanted),
      `${what} ${got}, ${wanted} wanted`,
    );
  results[0]!.losses.forEach((loss, index) => {
    near("ce", loss.ce, one.losses[index]!.ce);
    near("z", loss.z, one.losses[index]!.z);
    strictEqual(loss.count, one.losses[index]!.count);
  });
  near("evaluated", results[0]!.evaluated.ce, one.evaluated.ce);
  for (const parts of byParameter(results)) {
    const { name } = parts[0]!;
    const wanted = one.gradients.find((part) => part.name === name)!;
    deepStrictEqual(whole(parts, ({ weight }) => weight), wanted.weight, `weights of ${name}`);
    const largest = wanted.gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    ok(largest > 0, `${name} has no gradient`);
    whole(parts, ({ gradient }) => gradient).forEach((g, i) => {
      const off = Math.abs(g - wanted.gradient[i]!) / largest;
      ok(off <= GRADIENT_TOLERANCE, `${name}[${i}] is off by ${off} of the largest`);
    });
  }
}

const FOUR_RANKS: readonly GoldenModel[] = ["llama_gqa", "llama3", "palm"];

for (const name of GOLDEN_MODELS) {
  onBackends(`${name}: tensor ranks have the losses and gradients of one`, async (on) => {
    const input: TensorInput = {
      ...{ backend: on.name, model: name, zLoss: 1e-4, times: 2 },
      batches: [goldenTrainBatch(name), goldenDocuments(name)],
    };
    const [one] = await onTensorRanks(1, input);
    // Four ranks have two copies of each key and value head of the second, and four of PaLM's one.
    for (const ranks of FOUR_RANKS.includes(name) ? [2, 4] : [2]) {
      const results = await onTensorRanks(ranks, input);
      assertAsOne(results, one!);
      const again = await onTensorRanks(ranks, { ...input, times: 1 });
      deepStrictEqual(again[0]!.gradients, results[0]!.gradients, "another run, other bits");
    }
  });
}

const RECOMPUTE: readonly Recompute[] = ["none", "selective", "full"];

for (const name of ["llama_gqa", "palm"] as const) {
  onBackends(`${name}: recomputation changes no bit of tensor ranks' gradients`, async (on) => {
    const results: TensorResult[][] = [];
    for (const recompute of RECOMPUTE) {
      results.push(
        await onTensorRanks(2, {
          ...{ backend: on.name, model: name, batches: [goldenDocuments(name)], zLoss: 1e-4 },
          options: { recompute, packWeights: recompute === "full" },
        }),
      );
    }
    for (const other of results.slice(1)) {
      other.forEach(({ gradients, losses }, rank) => {
        deepStrictEqual(gradients, results[0]![rank]!.gradients);
        deepStrictEqual(losses, results[0]![rank]!.losses);
      });
    }
  });

  onBackends(`${name}: tensor ranks drop what one drops`, async (on) => {
    for (const recompute of RECOMPUTE) {
      const input: TensorInput = {
        ...{ backend: on.name, model: name },
        batches: [goldenTrainBatch(name), goldenDocuments(name)],
        options: { dropout: 0.2, recompute },
        dropout: { seed: 5, step: 7 },
      };
      const [one] = await onTensorRanks(1, input);
      const [none] = await onTensorRanks(1, { ...input, options: {} });
      ok(none!.losses[0]!.ce !== one!.losses[0]!.ce);
      assertAsOne(await onTensorRanks(2, input), one!);
    }
  });
}

const ODD: ModelConfig = {
  ...presetOf("debug").config,
  ...{ vocabSize: 13, hiddenSize: 10, intermediateSize: 12, numHiddenLayers: 2 },
  ...{ numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 6, norm: "layer", logitsScale: 0.5 },
};

/** Tokens, targets and documents that no number of ranks divides. */
function oddBatch(rows: number, seed: number): TrainBatch {
  const draw = (factor: number) =>
    Int32Array.from({ length: rows }, (_, row) => (row * row * factor + 5 * row + seed) % 13);
  const starts = Int32Array.from({ length: rows }, (_, row) => row - row % 3);
  return {
    ...{ sequences: 1, length: rows, tokens: draw(7), starts },
    targets: draw(3).map((target, row) => row % 4 === 1 ? -100 : target),
    positions: starts.map((start, row) => row - start),
  };
}

onBackends("rows and a vocabulary that ranks do not divide are cut all the same", async (on) => {
  for (const parallelBlock of [false, true]) {
    const model = { ...ODD, parallelBlock, tieWordEmbeddings: parallelBlock };
    // One row for four ranks; the tokens of one are another's; ranks without a row or a token.
    for (const rows of [1, 5, 11]) {
      const input = { backend: on.name, model, batches: [oddBatch(rows, 2), oddBatch(11, 3)] };
      const [one] = await onTensorRanks(1, input);
      assertAsOne(await onTensorRanks(4, input), one!);
    }
  }
});

/** Rows wide enough to travel in several pieces. */
const WIDE: ModelConfig = { ...ODD, hiddenSize: 512, norm: "rms" };

onBackends("rows that travel in pieces are those of one rank, whatever is dropped", async (on) => {
  for (const [parallelBlock, dropout] of [[false, 0], [true, 0.1]] as const) {
    const model = { ...WIDE, parallelBlock };
    const input: TensorInput = {
      ...{ backend: on.name, model, batches: [oddBatch(517, 2)] },
      ...{ options: { dropout }, dropout: { seed: 1, step: 2 } },
    };
    const [one] = await onTensorRanks(1, input);
    const results = await onTensorRanks(2, input);
    assertAsOne(results, one!);
    // Two layers forward in four pieces or two, backward as a whole, the head once.
    const halves = parallelBlock ? 1 : 2;
    strictEqual(results[0]!.calls["reduceScatter"], 2 * halves * (4 + 1) + 1);
  }
});

/** How far gradients are from exact ones, over the norm of these. */
function errorOf(got: Float32Array, wanted: Float32Array): number {
  const squares = (of: (i: number) => number) => wanted.reduce((sum, _, i) => sum + of(i) ** 2, 0);
  return Math.sqrt(squares((i) => got[i]! - wanted[i]!) / squares((i) => wanted[i]!));
}

onBackends("in bf16 tensor ranks are as near to f32 as one rank", async (on) => {
  using opened = await on.open(1);
  if (!multipliesBf16(opened.backend.info)) return;
  for (const model of ["llama_gqa", "palm"] as const) {
    const input = { backend: on.name, model, batches: [goldenTrainBatch(model)] };
    const rounded = { ...input, options: { dtype: "bf16" } } as const;
    const [[exact], [one]] = [await onTensorRanks(1, input), await onTensorRanks(1, rounded)];
    for (const parts of byParameter(await onTensorRanks(2, rounded))) {
      const { name } = parts[0]!;
      const of = (result: TensorResult) =>
        result.gradients.find((part) => part.name === name)!.gradient;
      const share = errorOf(whole(parts, ({ gradient }) => gradient), of(exact!));
      // Other roundings, of the same number and size.
      ok(share > 1e-4 && share <= 1.25 * errorOf(of(one!), of(exact!)), `${name}: ${share}`);
    }
  }
}, { only: "native" });

onBackends("a batch without targets has zero gradients on all tensor ranks", async (on) => {
  const batch = goldenTrainBatch("palm");
  const nothing = { ...batch, targets: batch.targets.map(() => -100) };
  const results = await onTensorRanks(2, {
    ...{ backend: on.name, model: "palm", batches: [nothing] },
  });
  for (const { losses, gradients } of results) {
    deepStrictEqual(losses, [{ ce: 0, z: 0, weight: 0, count: 0 }]);
    ok(gradients.every(({ gradient }) => gradient.every((g) => g === 0)));
  }
});

/** Bytes that rank `rank` of `size` sends of rows of a batch by gatherings and addings of one each. */
function rowBytes(rows: number, { rank, size, width }: Ranked): { gather: number; sum: number } {
  const own = evenParts(rows, size)[rank]!;
  const mine = own.end - own.start;
  return { gather: 4 * mine * width * (size - 1), sum: 4 * (rows - mine) * width };
}

interface Ranked {
  readonly rank: number;
  readonly size: number;
  readonly width: number;
}

/** Bytes of an all-reduce: short ones are exchanged whole. */
function totalBytes(count: number, { rank, size }: Ranked): number {
  if (4 * count <= 1024) return 4 * count * (size - 1);
  const { gather, sum } = rowBytes(count, { rank, size, width: 1 });
  return gather + sum;
}

/** Gatherings and addings of a block, forward and backward: Korthikanti et al. 2022, figures 5 and 6. */
function exchangesOf(parallelBlock: boolean, recompute: Recompute): readonly [number, number] {
  const halves = parallelBlock ? 1 : 2;
  const forward = [halves, halves] as const;
  const backward = recompute === "full"
    ? [2 * halves, 2 * halves - 1] as const
    : [2 * halves, halves] as const;
  return [forward[0] + backward[0], forward[1] + backward[1]];
}

const WIRE: readonly (readonly [GoldenModel, Recompute])[] = [
  ["llama_gqa_tied", "none"],
  ["llama_mha", "selective"],
  ["llama_gqa", "full"],
  ["palm", "none"],
  ["palm", "full"],
];

for (const [name, recompute] of WIRE) {
  onBackends(
    `${name}, ${recompute}: the bytes on the wire are those of the formulas`,
    async (on) => {
      const batch = goldenTrainBatch(name);
      const { config } = await goldenSource(name);
      const { hiddenSize: width, numHiddenLayers: L, parallelBlock, vocabSize } = config;
      const size = name === "palm" ? 4 : 2;
      const input = { backend: on.name, model: name, batches: [batch], options: { recompute } };
      const results = await onTensorRanks(size, input);
      const rows = batch.tokens.length;
      const owners = evenParts(vocabSize, size);
      const ownerOf = (token: number) => owners.findIndex(({ end }) => token < end);
      for (const [rank, { bytes }] of results.entries()) {
        const ranked = { rank, size, width };
        const { gather, sum } = rowBytes(rows, ranked);
        const [gathers, sums] = exchangesOf(parallelBlock, recompute);
        // The final norm's result and its gradient once, and three numbers of every row's logits.
        const scores = 4 * 3 * rows * (size - 1);
        const norms = 4 * (L * (parallelBlock ? 1 : 2) + 1) * width * (size - 1);
        strictEqual(bytes["allGather"], (L * gathers + 1) * gather + scores + norms);
        strictEqual(bytes["reduceScatter"], (L * sums + 1) * sum);
        const keysAndValues = totalBytes(2 * config.headDim * width, ranked);
        const copies = size > config.numKeyValueHeads;
        strictEqual(bytes["allReduce"] ?? 0, copies ? L * keysAndValues : 0);
        const own = evenParts(rows, size)[rank]!;
        const isOwn = (row: number) => row >= own.start && row < own.end;
        const sent = batch.tokens.reduce((count, token, row) => {
          const [has, wants] = [ownerOf(token) === rank, isOwn(row)];
          return count + Number(has && !wants) + Number(wants && !has);
        }, 0);
        strictEqual(bytes["send"] ?? 0, 4 * width * sent);
      }
    },
  );
}

onBackends("in bf16 rows are gathered in half the bytes", async (on) => {
  using opened = await on.open(1);
  if (!multipliesBf16(opened.backend.info)) return;
  const input = { backend: on.name, model: "llama_mha", batches: [goldenTrainBatch("llama_mha")] };
  const [rounded, exact] = [
    await onTensorRanks(2, { ...input, options: { dtype: "bf16" } } as TensorInput),
    await onTensorRanks(2, input as TensorInput),
  ];
  const { config } = await goldenSource("llama_mha");
  const { hiddenSize: width, numHiddenLayers: L } = config;
  const rows = input.batches[0]!.tokens.length;
  rounded.forEach(({ bytes }, rank) => {
    const { gather } = rowBytes(rows, { rank, size: 2, width });
    const saved = (6 * L + 1) * gather / 2;
    strictEqual(bytes["allGather"], exact[rank]!.bytes["allGather"]! - saved);
    strictEqual(bytes["reduceScatter"], exact[rank]!.bytes["reduceScatter"]);
  });
}, { only: "native" });

onBackends("memory of a tensor rank is taken as planned", async (on) => {
  using opened = await on.open(1);
  const dtype = multipliesBf16(opened.backend.info) ? "bf16" : "f32";
  const full = { recompute: "full", dropout: 0.1, packWeights: true, dtype } as const;
  for (const parallelBlock of [false, true]) {
    const model = { ...ODD, parallelBlock };
    for (const options of [{}, full]) {
      const input = { backend: on.name, model, batches: [oddBatch(11, 1)], options };
      const results = await onTensorRanks(4, input);
      for (const [rank, { taken }] of results.entries()) {
        const parts = { tensor: { rank, size: 4 } };
        const plan = planTrainingBytes(model, { maxRows: 11, ...options, parts });
        strictEqual(taken, plan.total - plan.moments - plan.exchange);
        strictEqual(plan.exchange, 2 * 4 * 11 * model.hiddenSize);
      }
    }
  }
});

Deno.test("what is kept of a block falls with the ranks: streams and norms too", () => {
  const { config } = presetOf("llama-15m");
  const kept = (size: number) =>
    planTrainingBytes(config, { maxRows: 3072, parts: { tensor: { rank: 0, size } } }).kept;
  strictEqual(kept(2), kept(1) / 2);
  strictEqual(kept(6), kept(1) / 6);
});
