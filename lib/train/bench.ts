/**
 * How fast a model trains, step after step, on random tokens.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { RandomStream } from "../base/random.ts";
import type { Mesh } from "../comm/mesh.ts";
import {
  assembleBatch,
  type SequenceBatch,
  type SequenceRange,
  type TrainingData,
} from "../data/batches.ts";
import { BatchRamp } from "../data/ramp.ts";
import { openMachine, type RunMachine } from "./machine.ts";
import type { RunConfig } from "./run_config.ts";
import { FIRST_STATE } from "./state.ts";
import { Trainer } from "./trainer.ts";

/** What is measured. */
export interface BenchTrainOptions {
  /** Steps that count, after two that do not. */
  readonly steps: number;
  /** Called after every step with the steps that are done. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** The ranks that train together; this one alone without. */
  readonly mesh?: Mesh | undefined;
  /** Bytes of a bucket of gradients. */
  readonly bucketBytes?: number | undefined;
  /** Whether gradients travel while others are computed. @default {true} */
  readonly overlap?: boolean | undefined;
  /** Stops between micro-batches. */
  readonly signal?: AbortSignal | undefined;
}

/** What was measured. */
export interface BenchedTraining {
  /** Milliseconds of each step that counts: batch, gradients, clipping, update. */
  readonly stepMs: readonly number[];
  /** Tokens of a step, over all ranks. */
  readonly tokens: number;
  /** Milliseconds that this rank waited for others in those steps: communication that stayed exposed. */
  readonly waitedMs: number;
  /** Bytes that this rank sent in those steps. */
  readonly sentBytes: number;
  /** Mean loss of the last step, so that nobody measures a model that does not learn. */
  readonly loss: number;
}

/** Steps before those that count: caches and threads warm up. */
export const WARM_UP: number = 2;

/** Trains a model of random weights. @throws {BackendError} When there is too little memory. */
export async function benchTrain(
  backend: Backend,
  config: RunConfig,
  options: BenchTrainOptions,
): Promise<BenchedTraining> {
  const { settings, model: { vocabSize } } = config;
  const { sequences, seqLen } = new BatchRamp(settings).at(0);
  const { mesh, bucketBytes, overlap, steps, signal, progress } = options;
  const machine = openMachine(backend, { ...config, mesh, bucketBytes, overlap });
  try {
    machine.model.initialize(settings.seed);
    const size = { ...settings, seqLen, vocabSize };
    let batches: SequenceBatch[] | undefined;
    const data: Pick<TrainingData, "step"> = {
      step(_, { part }) {
        const ranges = [part?.(sequences) ?? { first: 0, count: sequences }].flat();
        return batches ??= randomBatches(ranges, { ...size, sequences });
      },
    };
    const trainer = new Trainer({ ...machine, data, settings });
    const stepMs: number[] = [];
    let [state, loss] = [FIRST_STATE, NaN];
    let before = trafficOf(machine);
    while (stepMs.length < WARM_UP + steps) {
      signal?.throwIfAborted();
      if (stepMs.length === WARM_UP) before = trafficOf(machine);
      const start = performance.now();
      const result = await trainer.step(state);
      backend.wait();
      stepMs.push(performance.now() - start);
      ({ state, loss } = result);
      progress?.(stepMs.length, WARM_UP + steps);
    }
    const after = trafficOf(machine);
    return {
      stepMs: stepMs.slice(WARM_UP),
      tokens: sequences * seqLen,
      waitedMs: after.waitedMs - before.waitedMs,
      sentBytes: after.bytes - before.bytes,
      loss,
    };
  } finally {
    machine.close();
  }
}

/** What a rank has waited for and sent so far, over all communicators of a machine. */
function trafficOf(
  { mesh: { world, replicas, axes }, engine: { communicators = [] } }: RunMachine,
): { waitedMs: number; bytes: number } {
  let [waitedMs, bytes] = [0, 0];
  for (const communicator of [world, replicas, ...Object.values(axes), ...communicators]) {
    for (const counts of Object.values(communicator.traffic())) {
      waitedMs += counts.waitedMs;
      bytes += counts.bytes;
    }
  }
  return { waitedMs, bytes };
}

/** Random tokens in micro-batches: speed does not depend on what they are. */
function randomBatches(
  ranges: readonly SequenceRange[],
  size: {
    readonly sequences: number;
    readonly seqLen: number;
    readonly vocabSize: number;
    readonly microBatch: number;
    readonly seed: number;
  },
): SequenceBatch[] {
  const { sequences, seqLen, vocabSize, microBatch, seed } = size;
  const windows = Array.from({ length: sequences }, (_, b) => {
    const random = new RandomStream(seed, b);
    const draw = (_: unknown, i: number) => Math.floor(random.uniform(i) * vocabSize);
    return { tokens: Int32Array.from({ length: seqLen + 1 }, draw), documents: [] };
  });
  return ranges.flatMap(({ first, count }) =>
    Array.from({ length: Math.ceil(count / microBatch) }, (_, i) => {
      const from = first + i * microBatch;
      const batch = windows.slice(from, Math.min(from + microBatch, first + count));
      return assembleBatch(batch, { documentMask: false });
    })
  );
}
