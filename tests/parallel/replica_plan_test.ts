import assert from "node:assert/strict";
import { coordinatesOf, parseMesh } from "../../lib/comm/mesh.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { heldElements } from "../../lib/model/training/parts.ts";
import { planArenas } from "../../lib/model/training/slots.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { planReplicaBytes } from "../../lib/parallel/replica_memory.ts";
import { streamedIn } from "../../lib/parallel/zero.ts";
import { onBackends } from "../on_backends.ts";
import { BATCHES, SHORT_ADAMW } from "../train/optimizer_runs.ts";
import {
  BUCKET_BYTES,
  onReplicas,
  type ReplicaInput,
  type ReplicaResult,
} from "../train/replica_program.ts";
import { gathersOf, stepTraffic } from "./replica_traffic.ts";

/** Four blocks of several parts each, embedding and head not much larger than they. */
const MODEL: ModelConfig = {
  ...presetOf("debug").config,
  ...{ hiddenSize: 192, intermediateSize: 512, numHiddenLayers: 4, vocabSize: 600 },
  ...{ numAttentionHeads: 6, numKeyValueHeads: 2, headDim: 32, tieWordEmbeddings: false },
};

interface Run {
  readonly mesh: string;
  readonly zero: 1 | 2 | 3;
  readonly microBatch: number;
  readonly reduce: "ranks" | "tree";
  readonly model: ModelConfig;
  readonly optimizer?: "adafactor";
}

const TIED = { ...MODEL, tieWordEmbeddings: true };

const RUNS: readonly Run[] = [
  { mesh: "data=2", zero: 1, microBatch: 1, reduce: "ranks", model: MODEL },
  { mesh: "data=2", zero: 1, microBatch: 1, reduce: "tree", model: MODEL },
  ...([1, 2, 3] as const).flatMap((zero) => [
    { mesh: "shard=2", zero, microBatch: 1, reduce: "ranks", model: MODEL } as const,
    { mesh: "shard=2", zero, microBatch: 2, reduce: "ranks", model: TIED } as const,
    { mesh: "shard=2", zero, microBatch: 1, reduce: "tree", model: MODEL } as const,
  ]),
];

/** What the formulas of a run are told. */
function planned(run: Run, rank: number) {
  const sizes = parseMesh(run.mesh);
  const at = coordinatesOf(rank, sizes);
  const microBatches = 4 / (sizes.data * sizes.shard) / run.microBatch;
  const options = { order: run.reduce, microBatches };
  const streamed = sizes.shard > 1 ? streamedIn(run.zero, options) : undefined;
  const place = (axis: "shard" | "data") => ({ rank: at[axis], size: sizes[axis] });
  return {
    ...{ ...options, streamed, shard: place("shard"), data: place("data") },
    bucketBytes: BUCKET_BYTES,
  };
}

function assertPlanned(run: Run, { taken, sent }: ReplicaResult, rank: number): void {
  const { data, streamed, ...options } = planned(run, rank);
  const what = `${run.mesh}, stage ${run.zero}, ${run.reduce}, rank ${rank}`;
  const { buckets, total } = planReplicaBytes(run.model, {
    ...{ ...options, replicas: data.size, streamed, maxRows: 32 * run.microBatch },
    packWeights: options.microBatches > 1 && !streamed?.weights,
  });
  const wanted = total - buckets;
  assert.ok(
    Math.abs(taken - wanted) <= 0.01 * wanted,
    `${what}: ${taken} taken, ${wanted} planned`,
  );
  const { whole, units } = planArenas(run.model, {});
  const formulas = stepTraffic({
    ...{ ...options, data, units, tied: run.model.tieWordEmbeddings },
    parameters: whole.held.map((held) => ({ count: heldElements(held) })),
    streamed: streamed ?? { weights: false, gradients: false },
    totals: run.optimizer === "adafactor" ? 2 : 0,
  });
  const { scattered, reduced, gathered, totals } = formulas;
  assert.equal(sent.shard.reduceScatter ?? 0, scattered, `${what}: gradients over shards`);
  assert.equal(sent.data.allReduce ?? 0, reduced, `${what}: gradients over replicas`);
  assert.equal(sent.shard.allReduce ?? 0, totals, `${what}: sums over parts`);
  assert.equal(sent.shard.allGather ?? 0, gathered, `${what}: weights`);
}

function runs(backend: ReplicaInput["backend"], ranks: number, given: readonly Run[]) {
  return onReplicas(
    ranks,
    given.map(({ mesh, model, ...change }) => ({
      ...{ backend, mesh, model, batches: BATCHES },
      settings: { ...SHORT_ADAMW, steps: 2, ...change },
    })),
  );
}

onBackends("memory taken and bytes sent are what is planned, in every stage", async (on) => {
  const found = await runs(on.name, 2, RUNS);
  RUNS.forEach((run, i) => found[i]!.forEach((result, rank) => assertPlanned(run, result, rank)));
}, { quickest: true });

onBackends("memory and bytes of two pods are what is planned, Adafactor's too", async (on) => {
  const common = { mesh: "data=2,shard=2", microBatch: 1, model: MODEL } as const;
  const given: readonly Run[] = [
    { ...common, zero: 1, reduce: "ranks", optimizer: "adafactor" },
    { ...common, zero: 3, reduce: "tree" },
  ];
  const found = await runs(on.name, 4, given);
  given.forEach((run, i) => found[i]!.forEach((result, rank) => assertPlanned(run, result, rank)));
}, { quickest: true });

Deno.test("a large model's rank has its share: figure 1 of the paper", () => {
  const { config } = presetOf("llama1-7b");
  const parameters = 6_738_415_616;
  const perParameter = (zero: 1 | 2 | 3) => {
    const streamed = streamedIn(zero, { order: "ranks", microBatches: 1 });
    const { weights, gradients, moments } = planReplicaBytes(config, {
      ...{ maxRows: 1, streamed, shard: { rank: 5, size: 64 } },
    });
    return [weights, gradients, moments].map((bytes) => bytes / parameters);
  };
  // One block of 202 M and embedding or head of 131 M parameters besides, 4.9% of all.
  const unit = 4 * (202_383_360 + 131_072_000 + 4096) / parameters;
  for (
    const [zero, wanted] of [[1, [4, 4, 8 / 64]], [2, [4, unit + 4 / 64, 8 / 64]], [
      3,
      [unit + 4 / 64, unit + 4 / 64, 8 / 64],
    ]] as const
  ) {
    perParameter(zero).forEach((is, i) =>
      assert.ok(
        Math.abs(is - wanted[i]!) <= 0.01 * wanted[i]!,
        `stage ${zero}: ${is}, ${wanted[i]}`,
      )
    );
  }
});

Deno.test("stage 3 gathers what is not there: all but the blocks between two passes", () => {
  const gathers = (layers: number, microBatches: number, tied: boolean) =>
    gathersOf({
      ...{ parameters: [], shard: { rank: 0, size: 2 }, data: { rank: 0, size: 1 } },
      ...{ order: "tree", streamed: { weights: true, gradients: true }, microBatches, tied },
      units: Array.from({ length: layers + 2 }, () => []),
    });
  assert.deepEqual(gathers(4, 1, false), [1, 2, 2, 2, 1, 1]);
  assert.deepEqual(gathers(4, 3, false), [3, 4, 6, 6, 3, 3]);
  assert.deepEqual(gathers(4, 3, true), [1, 4, 6, 6, 3, 1]);
  assert.deepEqual(gathers(1, 3, false), [3, 1, 3]);
});
