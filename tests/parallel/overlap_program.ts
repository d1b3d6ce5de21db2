/** What ranks do in `overlap_test.ts`: a backward pass that computes nothing, and takes its time. */

import type { Communicator } from "../../lib/comm/communicator.ts";
import { GradientReducer } from "../../lib/parallel/data.ts";

/** What a rank is given. */
export interface OverlapInput {
  /** Parameters, computed one after the other. */
  readonly parameters: number;
  /** Elements of each. */
  readonly count: number;
  /** Milliseconds that the gradients of each take. */
  readonly computeMs: number;
  /** Bytes of a bucket. */
  readonly bucketBytes: number;
  /** Steps that count. */
  readonly steps: number;
}

/**
 * Milliseconds that this rank waited in the step in which that was least, for a busy machine only
 * adds to it; and whether the sums were right.
 */
export function run(
  world: Communicator,
  { parameters, count, computeMs, bucketBytes, steps }: OverlapInput,
): { readonly waitedMs: number; readonly right: boolean } {
  // The memory of a backend whose addresses are places in this one.
  const memory = new Float32Array(parameters * count);
  const backend = {
    download: (target: ArrayBufferView<ArrayBuffer>, source: number) =>
      void (target as Float32Array).set(memory.subarray(source / 4, source / 4 + count)),
    upload: (target: number, source: ArrayBufferView<ArrayBuffer>) =>
      memory.set(source as Float32Array, target / 4),
  };
  const list = Array.from({ length: parameters }, (_, i) => ({ count, grad: 4 * i * count }));
  const reducer = new GradientReducer(backend, {
    parameters: list,
    replicas: world,
    bucketBytes,
  });
  let waited = Infinity;
  let right = true;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let step = 0; step <= steps; step++) {
    memory.fill(world.rank + 1);
    world.barrier();
    const before = world.traffic().allReduce?.waitedMs ?? 0;
    for (let i = parameters - 1; i >= 0; i--) {
      Atomics.wait(pause, 0, 0, computeMs);
      reducer.ready(i);
    }
    reducer.finish();
    right &&= memory.every((value) => value === world.size * (world.size + 1) / 2);
    // The first step warms connections up.
    const now = world.traffic().allReduce?.waitedMs ?? 0;
    if (step > 0) waited = Math.min(waited, now - before);
  }
  return { waitedMs: waited, right };
}
