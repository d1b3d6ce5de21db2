import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { ModelConfig } from "../../lib/model/config.ts";
import { multipliesBf16 } from "../../lib/backend/features.ts";
import { presetOf } from "../../lib/model/presets.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { onBackends } from "../on_backends.ts";
import { ADAFACTOR, BATCHES, optimizerJson, SHORT_ADAMW } from "./optimizer_runs.ts";
import { onReplicas } from "./replica_program.ts";
import type { ReplicaInput, ReplicaResult } from "./replica_program.ts";
import { ADAMW_TOLERANCE, assertSteps, type StepNumbers } from "./tolerances.ts";

/** Blocks of several parts of 32,768 elements, so that cuts fall inside tensors too. */
const WIDE: ModelConfig = {
  ...presetOf("debug").config,
  ...{ hiddenSize: 192, intermediateSize: 512, numHiddenLayers: 3, vocabSize: 600 },
  ...{ numAttentionHeads: 6, numKeyValueHeads: 2, headDim: 32 },
};

function train(
  backend: ReplicaInput["backend"],
  ranks: number,
  changes: readonly (Partial<TrainSettings> & Pick<ReplicaInput, "model">)[],
): Promise<ReplicaResult[][]> {
  return onReplicas(
    ranks,
    changes.map(({ mesh, model, ...change }) => ({
      ...{ backend, batches: BATCHES, mesh: mesh!, model: model! },
      settings: { ...SHORT_ADAMW, ...change },
    })),
  );
}

/** Whether two lists of numbers are the same bits. */
function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength)
    .equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

function assertSame(results: readonly ReplicaResult[], wanted: ReplicaResult, what: string): void {
  for (const [rank, result] of results.entries()) {
    assert.deepEqual(result.steps, wanted.steps, `${what}: steps of rank ${rank}`);
    for (const kind of ["weights", "moments"] as const) {
      assert.equal(result[kind].length, wanted[kind].length);
      result[kind].forEach((values, index) =>
        assert.ok(
          sameBits(values, wanted[kind][index]!),
          `${what}: ${kind} ${index} of rank ${rank}`,
        )
      );
    }
  }
}

for (const model of ["llama_mha", "llama_gqa_tied", "palm", WIDE] as const) {
  const name = typeof model === "string" ? model : "a model of several parts";
  const change = model === "palm" ? { ...ADAFACTOR, steps: 3 } : {};
  // Gradients are whole in the first, parted with at once in the second, after each micro-batch in the third.
  const ways = [
    { microBatch: 1, reduce: "ranks" },
    { microBatch: 2, reduce: "ranks" },
    { microBatch: 1, reduce: "tree" },
  ] as const;
  onBackends(
    `every stage of ZeRO computes what data parallelism does, bit for bit: ${name}`,
    async (on) => {
      const runs = ways.flatMap((way) => [
        { mesh: "data=2", zero: 1, model, ...change, ...way } as const,
        ...([1, 2, 3] as const).map((zero) => ({
          mesh: "shard=2",
          zero,
          model,
          ...change,
          ...way,
        })),
      ]);
      const found = await train(on.name, 2, runs);
      runs.forEach(({ mesh, zero, microBatch, reduce }, i) => {
        const [wanted] = found[i - i % 4]!;
        assertSame(found[i]!, wanted!, `${mesh}, stage ${zero}, ${microBatch} at once, ${reduce}`);
      });
    },
  );
}

onBackends("two pods are the same replica, and what four replicas are", async (on) => {
  for (const reduce of ["ranks", "tree"] as const) {
    const pods = ([1, 2, 3] as const).map((zero) => ({ mesh: "data=2,shard=2", zero }));
    const runs = [{ mesh: "data=4", zero: 1 } as const, ...pods];
    const found = await train(on.name, 4, runs.map((run) => ({ ...run, model: WIDE, reduce })));
    const [wanted] = found[0]!;
    found.forEach((results, i) =>
      assertSame(results, wanted!, `${runs[i]!.mesh}, ${runs[i]!.zero}`)
    );
  }
}, { quickest: true });

onBackends("shards of any number follow PyTorch's 20 steps of AdamW", async (on) => {
  const { steps_f64: expected } = optimizerJson<{ steps_f64: StepNumbers[] }>("adamw.json");
  const changes = ([1, 2, 3] as const).map((zero) => ({ mesh: "shard=4", zero, steps: 20 }));
  for (
    const results of await train(on.name, 4, changes.map((one) => ({ ...one, model: "llama_mha" })))
  ) {
    const [first] = results;
    assertSame(results, first!, "ranks");
    assertSteps(first!.steps, expected, ADAMW_TOLERANCE);
  }
}, { quickest: true });

onBackends(
  "stages of ZeRO have the bits of data parallelism with blocks computed again, in bf16 where it can be",
  async (on) => {
    using opened = await on.open();
    const dtype = multipliesBf16(opened.backend.info) ? "bf16" : "f32";
    const common = { model: WIDE, microBatch: 1, dtype, recompute: "full" } as const;
    const runs = [
      { mesh: "data=2", zero: 1, ...common } as const,
      ...([1, 2, 3] as const).map((zero) => ({ mesh: "shard=2", zero, ...common })),
    ];
    const [wanted, ...found] = await train(on.name, 2, runs);
    found.forEach((results, i) => assertSame(results, wanted![0]!, `stage ${i + 1}`));
  },
  { quickest: true },
);
