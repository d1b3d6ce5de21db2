/**
 * How near training runs are that add float32 numbers in different orders: one rank's and a mesh's, or
 * ours and PyTorch's in float64.
 */

import assert from "node:assert/strict";

/** Largest differences between two runs of up to 20 steps. */
export interface RunTolerance {
  /** Of a step's loss. */
  readonly loss: number;
  /** Of a step's gradient norm. */
  readonly norm: number;
  /** Of a weight in the end. */
  readonly most: number;
  /** Of all weights, in L2, over the length of all weights. */
  readonly relative: number;
}

/** tests/golden/README.md, of AdamW: 13 times what float32 differs from float64 there, and more. */
export const ADAMW_TOLERANCE: RunTolerance = { loss: 1e-4, norm: 5e-3, most: 3e-4, relative: 2e-5 };
/** tests/golden/README.md, of Adafactor. */
export const ADAFACTOR_TOLERANCE: RunTolerance = {
  ...{ loss: 3e-5, norm: 3e-5, most: 3e-5, relative: 1e-5 },
};

/** What is compared of a step. */
export interface StepNumbers {
  /** Mean loss. */
  readonly loss: number | null;
  /** Norm of the gradients. */
  readonly grad_norm: number | null;
  /** Learning rate. */
  readonly lr: number;
  /** Mean loss on the evaluation data, where one was taken. */
  readonly eval_loss?: number;
}

/** Fails unless steps have these losses, norms and rates. */
export function assertSteps(
  actual: readonly StepNumbers[],
  expected: readonly StepNumbers[],
  { loss, norm }: Pick<RunTolerance, "loss" | "norm">,
): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((step, i) => {
    const mine = actual[i]!;
    const near = (what: keyof StepNumbers, tolerance: number) => {
      const [is, wanted] = [mine[what] ?? NaN, step[what] ?? NaN];
      const off = Math.abs(is - wanted);
      assert.ok(off <= tolerance, `${what} of step ${i + 1} is ${is}, ${wanted} was wanted`);
    };
    near("lr", 1e-12);
    near("loss", loss);
    near("grad_norm", norm);
    assert.equal(mine.eval_loss === undefined, step.eval_loss === undefined);
    if (step.eval_loss !== undefined) near("eval_loss", loss);
  });
}

/**
 * Fails unless a run's steps are those of another that only adds in another order. Both begin with the
 * same weights, so that the first step's loss is float32 noise alone: 1e-6 of it, and 1e-5 of its norm,
 * which is what tests/golden/README.md allows between float32 and float64. Later steps have the
 * optimizer's tolerances, as what it makes of noise depends on it.
 */
export function assertSameRun(
  actual: readonly StepNumbers[],
  expected: readonly StepNumbers[],
  tolerance: Pick<RunTolerance, "loss" | "norm">,
): void {
  const [first] = expected;
  const noise = { loss: 1e-6 * first!.loss!, norm: 1e-5 * first!.grad_norm! };
  // An evaluation after the first step has weights that the step has changed.
  const begun = ({ eval_loss: _, ...step }: StepNumbers) => step;
  assertSteps(actual.slice(0, 1).map(begun), expected.slice(0, 1).map(begun), noise);
  assertSteps(actual, expected, tolerance);
}

/** Fails unless weights, or what else has names, are near by their largest difference and in L2. */
export function assertWeights(
  actual: ReadonlyMap<string, ArrayLike<number>>,
  expected: ReadonlyMap<string, ArrayLike<number>>,
  { most, relative }: Pick<RunTolerance, "most" | "relative">,
): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  let [difference, size] = [0, 0];
  for (const [name, values] of expected) {
    const mine = actual.get(name)!;
    assert.equal(mine.length, values.length, name);
    for (let i = 0; i < values.length; i++) {
      const off = mine[i]! - values[i]!;
      assert.ok(Math.abs(off) <= most, `${name}[${i}] is ${mine[i]}, ${values[i]} was wanted`);
      difference += off * off;
      size += values[i]! ** 2;
    }
  }
  const distance = Math.sqrt(difference / size);
  assert.ok(distance <= relative, `weights are ${distance} from the reference`);
}
