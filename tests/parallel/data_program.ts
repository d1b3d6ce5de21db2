/** What a replica of the test does: gradients of its share of a golden batch, added up. */

import { openBackend } from "../../lib/backend/open.ts";
import type { BackendName } from "../../lib/backend/backend.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import type { TrainBatch } from "../../lib/model/training/trainable.ts";
import { GradientReducer, shareOf } from "../../lib/parallel/data.ts";
import { goldenTrainBatch, openGolden, sequencesOf } from "../model/training/golden_training.ts";

/** Four sequences: a golden model's, turned by a token where they run out. */
export function fourSequences(): TrainBatch {
  const { sequences, length, tokens, targets } = goldenTrainBatch("llama_gqa");
  const rows = 4 * length;
  const turned = (from: Int32Array) =>
    Int32Array.from({ length: rows }, (_, row) => {
      const [b, t] = [Math.floor(row / length), row % length];
      const turn = Math.floor(b / sequences);
      return from[(b % sequences) * length + (t + turn) % length]!;
    });
  return {
    ...{ sequences: 4, length, tokens: turned(tokens), targets: turned(targets) },
    starts: Int32Array.from({ length: rows }, (_, row) => row - row % length),
    positions: Int32Array.from({ length: rows }, (_, row) => row % length),
  };
}

/** How the replica works. */
export interface DataInput {
  /** Its backend. */
  readonly backend: BackendName;
  /** Bytes of a bucket. */
  readonly bucketBytes: number;
  /** Whether gradients are told one by one, each rank in an order of its own, or all at the end. */
  readonly oneByOne: boolean;
  /** Whether they leave when they are told. @default {true} */
  readonly overlap?: boolean;
}

/** What it has in the end. */
export interface DataResult {
  /** Gradients by parameter. */
  readonly gradients: readonly Float32Array[];
  /** Sum of the losses of its share. */
  readonly loss: number;
  /** All-reduces begun, and bytes sent by them. */
  readonly calls: number;
  /** How many of them before the gradients were wanted. */
  readonly early: number;
  /** Bytes sent. */
  readonly bytes: number;
}

/** Two steps of gradients, the second one returned. */
export async function run(world: Communicator, input: DataInput): Promise<DataResult> {
  const backend = await openBackend({ backend: input.backend, threads: 1 });
  await backend.ready();
  try {
    const model = await openGolden(backend, "llama_gqa");
    const batch = fourSequences();
    const counted = batch.targets.filter((target) => target >= 0).length;
    const { parameters } = model;
    const { bucketBytes, overlap } = input;
    const reducer = new GradientReducer(backend, {
      parameters,
      replicas: world,
      bucketBytes,
      overlap,
    });
    const begun = () => world.traffic().allReduce?.calls ?? 0;
    const { first, count } = shareOf(batch.sequences, world);
    let [loss, early] = [0, 0];
    for (let step = 0; step < 2; step++) {
      loss = 0;
      for (let b = first; b < first + count; b++) {
        const accumulate = b > first;
        const options = { weightScale: 1 / counted, accumulate };
        loss += model.forwardBackward(sequencesOf(batch, { first: b, count: 1 }), options).ce;
      }
      if (input.oneByOne) {
        const order = [...parameters.keys()];
        if (world.rank % 2 === 0) order.reverse();
        const before = begun();
        for (const index of order) reducer.ready(index);
        early += begun() - before;
      }
      reducer.finish();
    }
    const { bytes = 0 } = world.traffic().allReduce ?? {};
    const gradients = parameters.map((p) => model.gradient(p));
    return { gradients, loss, calls: begun(), early, bytes };
  } finally {
    backend.close();
  }
}
