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

function assertStep(
  actual: StepNumbers,
  expected: StepNumbers,
  most: {
    readonly step: number;
    readonly loss: number;
    readonly norm: number;
    readonly evaluation: number;
  },
): void {
  const near = (what: keyof StepNumbers, tolerance: number) => {
    const [is, wanted] = [actual[what] ?? NaN, expected[what] ?? NaN];
    const off = Math.abs(is - wanted);
    assert.ok(off <= tolerance, `${what} of step ${most.step} is ${is}, ${wanted} was wanted`);
  };
  near("lr", 1e-12);
  near("loss", most.loss);
  near("grad_norm", most.norm);
  assert.equal(actual.eval_loss === undefined, expected.eval_loss === undefined);
  if (expected.eval_loss !== undefined) near("eval_loss", most.evaluation);
}

/** Fails unless steps have these losses, norms and rates. */
export function assertSteps(
  actual: readonly StepNumbers[],
  expected: readonly StepNumbers[],
  { loss, norm }: Pick<RunTolerance, "loss" | "norm">,
): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((step, i) =>
    assertStep(actual[i]!, step, { step: i + 1, loss, norm, evaluation: loss })
  );
}

/**
 * Fails unless a run's steps are those of another that only adds in another order. Both begin with the
 * same weights, so that the first step's loss and norm are float32 noise alone: 1e-6 of them. What the
 * optimizer makes of noise is more noise: up to 1e-5 of any step's numbers, and of losses no more than
 * 1e-5 a step. The optimizer's own tolerances against float64 (tests/golden/README.md) are far wider.
 */
export function assertSameRun(
  actual: readonly StepNumbers[],
  expected: readonly StepNumbers[],
): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((step, i) => {
    const [loss, norm] = [step.loss!, step.grad_norm!];
    // An evaluation sees weights that the step has changed already.
    const evaluation = 1e-5 * (step.eval_loss ?? 0);
    assertStep(actual[i]!, step, {
      ...{ step: i + 1, evaluation },
      loss: Math.min(1e-5 * loss, 1e-6 * loss + 1e-5 * i),
      norm: Math.min(1e-5, 1e-6 + 1e-5 * i) * norm,
    });
  });
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
