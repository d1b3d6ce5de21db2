/** A step on paper that tests of plans vary, and how its numbers are held against others. */

import assert from "node:assert/strict";
import type { MeshNumbers } from "../../lib/comm/mesh.ts";
import { presetOf } from "../../lib/model/presets.ts";
import type { StepShape } from "../../lib/plan/step_shape.ts";

/** One rank. */
export const ONE: MeshNumbers = { data: 1, shard: 1, tensor: 1, pipeline: 1 };

/** A step of one rank: sequences of 4096 tokens, one at once, nothing computed again. */
export function stepOf(preset: string, sequences: number): StepShape {
  return {
    ...{ model: presetOf(preset).config, seqLen: 4096, sequences, microBatch: 1 },
    ...{ recompute: "none", mesh: ONE, zero: 0, chunks: 1 },
  };
}

/** Fails unless two numbers differ by a share at most. */
export function near(actual: number, expected: number, relative = 1e-9): void {
  assert.ok(Math.abs(actual / expected - 1) <= relative, `${actual} is not ${expected}`);
}
