/**
 * How fast a model trains, step after step, on random tokens.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { RandomStream } from "../base/random.ts";
import { assembleBatch, type SequenceBatch } from "../data/batches.ts";
import { BatchRamp } from "../data/ramp.ts";
import { openMachine } from "./machine.ts";
import type { RunConfig } from "./run_config.ts";
import { FIRST_STATE } from "./state.ts";
import { Trainer } from "./trainer.ts";

/** What is measured. */
export interface BenchTrainOptions {
  /** Steps that count, after two that do not. */
  readonly steps: number;
  /** Called after every step with the steps that are done. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** Stops between micro-batches. */
  readonly signal?: AbortSignal | undefined;
}

/** What was measured. */
export interface BenchedTraining {
  /** Milliseconds of each step that counts: batch, gradients, clipping, update. */
  readonly stepMs: readonly number[];
  /** Tokens of a step. */
  readonly tokens: number;
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
  const machine = openMachine(backend, config);
  try {
    machine.model.initialize(settings.seed);
    const batches = randomBatches({ ...settings, sequences, seqLen, vocabSize });
    const trainer = new Trainer({ ...machine, data: { step: () => batches }, settings });
    const stepMs: number[] = [];
    let [state, loss] = [FIRST_STATE, NaN];
    while (stepMs.length < WARM_UP + options.steps) {
      options.signal?.throwIfAborted();
      const start = performance.now();
      const result = await trainer.step(state);
      backend.wait();
      stepMs.push(performance.now() - start);
      ({ state, loss } = result);
      options.progress?.(stepMs.length, WARM_UP + options.steps);
    }
    return { stepMs: stepMs.slice(WARM_UP), tokens: sequences * seqLen, loss };
  } finally {
    machine.close();
  }
}

/** One batch of random tokens in micro-batches: speed does not depend on what they are. */
function randomBatches(size: {
  readonly sequences: number;
  readonly seqLen: number;
  readonly vocabSize: number;
  readonly microBatch: number;
  readonly seed: number;
}): SequenceBatch[] {
  const { sequences, seqLen, vocabSize, microBatch, seed } = size;
  const windows = Array.from({ length: sequences }, (_, b) => {
    const random = new RandomStream(seed, b);
    const draw = (_: unknown, i: number) => Math.floor(random.uniform(i) * vocabSize);
    return { tokens: Int32Array.from({ length: seqLen + 1 }, draw), documents: [] };
  });
  return Array.from(
    { length: Math.ceil(sequences / microBatch) },
    (_, i) =>
      assembleBatch(windows.slice(i * microBatch, (i + 1) * microBatch), { documentMask: false }),
  );
}
