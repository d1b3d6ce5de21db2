/** What a rank of `parallel.ts` does: trains with data parallelism, and tells how fast. */

import { openBackend } from "../../lib/backend/open.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { Mesh } from "../../lib/comm/mesh.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { benchTrain } from "../../lib/train/bench.ts";
import { resolveRun } from "../../lib/train/run_config.ts";
import { median } from "../../lib/base/median.ts";

/** What a rank is told. */
export interface ParallelInput {
  /** Name of the model. */
  readonly preset: string;
  /** Tokens of a sequence. */
  readonly seqLen: number;
  /** Sequences of a micro-batch. */
  readonly microBatch: number;
  /** Micro-batches of a step, over all ranks. */
  readonly accumulation: number;
  /** Steps that count. */
  readonly steps: number;
  /** Threads of this rank. */
  readonly threads: number;
  /** Bytes of a bucket of gradients; the usual ones without. */
  readonly bucketBytes?: number | undefined;
  /** Whether gradients travel while others are computed. */
  readonly overlap?: boolean | undefined;
}

/** What a rank tells. */
export interface Measured {
  /** Over all ranks. */
  readonly tokensPerSecond: number;
  /** Milliseconds of a step. */
  readonly stepMs: number;
  /** Milliseconds of a step in which this rank waited for others. */
  readonly waitedMs: number;
  /** Bytes that this rank sent in a step. */
  readonly sentBytes: number;
}

/** Trains as one rank of `world`. */
export async function run(world: Communicator, input: ParallelInput): Promise<Measured> {
  const { preset, seqLen, microBatch, accumulation, steps, threads, bucketBytes, overlap } = input;
  const batchTokens = seqLen * microBatch * accumulation;
  const settings = { preset, seqLen, microBatch, batchTokens, steps: 1000, warmup: 0, seed: 1 };
  const { config: { vocabSize } } = presetOf(preset);
  const layer = { settings, origin: () => "flag" };
  const config = resolveRun([layer], { vocabulary: { vocabSize } });
  const mesh = new Mesh(world, { data: world.size, shard: 1, tensor: 1, pipeline: 1 });
  const backend = await openBackend({ backend: "native", threads });
  try {
    const benched = await benchTrain(backend, config, { steps, mesh, bucketBytes, overlap });
    const stepMs = median(benched.stepMs);
    return {
      tokensPerSecond: benched.tokens / stepMs * 1000,
      stepMs,
      waitedMs: benched.waitedMs / steps,
      sentBytes: benched.sentBytes / steps,
    };
  } finally {
    backend.close();
  }
}
