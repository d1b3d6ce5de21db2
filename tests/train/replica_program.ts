/** What a replica of the test does: trains on its share of given batches. */

import assert from "node:assert/strict";
import type { BackendName } from "../../lib/backend/backend.ts";
import { Mesh, parseMesh } from "../../lib/comm/mesh.ts";
import { openBackend } from "../../lib/backend/open.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import type { StepOptions } from "../../lib/data/batches.ts";
import { TrainableModel } from "../../lib/model/training/trainable_model.ts";
import { replicaEngine } from "../../lib/train/machine.ts";
import { Optimizer } from "../../lib/train/optimizer.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { FIRST_STATE } from "../../lib/train/state.ts";
import { Trainer } from "../../lib/train/trainer.ts";
import { goldenSource } from "../model/golden_models.ts";
import { batchOf } from "../model/training/golden_training.ts";

/** Sequences and the tokens that follow. */
export type ReplicaBatch = {
  readonly input_ids: readonly (readonly number[])[];
  readonly targets: readonly (readonly number[])[];
};

/** What the replica is given. */
export interface ReplicaInput {
  /** Its backend. */
  readonly backend: BackendName;
  /** Settings, the same on all. */
  readonly settings: TrainSettings;
  /** The mesh of the ranks. @default {"data" alone} */
  readonly mesh?: string;
  /** Whole batches, in turn. */
  readonly batches: readonly ReplicaBatch[];
}

/** What came of it. */
export interface ReplicaResult {
  /** Loss and gradient norm of every step. */
  readonly steps: readonly { readonly loss: number; readonly gradNorm: number }[];
  /** Tokens of all steps. */
  readonly tokens: number;
  /** Weights in the end. */
  readonly weights: readonly Float32Array[];
}

/** Trains as one replica of all ranks. */
export async function run(world: Communicator, input: ReplicaInput): Promise<ReplicaResult> {
  const { settings, batches } = input;
  const backend = await openBackend({ backend: input.backend, threads: 1 });
  await backend.ready();
  try {
    const source = await goldenSource("llama_mha");
    const model = new TrainableModel(backend, source, { maxRows: 1024, dropout: settings.dropout });
    await model.load(source);
    const { parameters } = model;
    const optimizer = new Optimizer(backend, { parameters, settings });
    const data = {
      step(step: number, { microBatch, part }: StepOptions) {
        const { input_ids, targets } = batches[step % batches.length]!;
        const ranges = [part!(input_ids.length)].flat();
        const cuts: ReturnType<typeof batchOf>[] = [];
        for (const { first, count } of ranges) {
          assert.ok(count <= microBatch);
          const [tokens, wanted] = [input_ids, targets].map((rows) =>
            rows.slice(first, first + count)
          );
          cuts.push(batchOf({ tokens: tokens!, targets: wanted! }));
        }
        return cuts;
      },
    };
    const mesh = new Mesh(world, parseMesh(input.mesh ?? `data=${world.size}`));
    const { engine } = replicaEngine(backend, { model, mesh, settings, bucketBytes: 30_000 });
    const trainer = new Trainer({ mesh, model, optimizer, engine, data, settings });
    const steps: { loss: number; gradNorm: number }[] = [];
    let state = FIRST_STATE;
    while (state.step < settings.steps) {
      const result = await trainer.step(state);
      steps.push({ loss: result.loss, gradNorm: result.gradNorm });
      state = result.state;
    }
    return { steps, tokens: state.tokens, weights: parameters.map((p) => model.weight(p)) };
  } finally {
    backend.close();
  }
}
