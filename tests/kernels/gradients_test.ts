import assert from "node:assert/strict";
import { KERNELS } from "../../kernels/abi.ts";
import type { KernelName } from "../../lib/backend/kernels.generated.ts";
import { assertClose } from "../numeric.ts";
import { onBackends } from "../on_backends.ts";
import { CASES, type GradientOf, type KernelEntry } from "./cases.ts";
import { argumentsOf, decode, run, valuesOf } from "./harness.ts";
import type { Sizes, Values } from "./reference.ts";

/** Numbers of the result above which a case costs too much to be differentiated by differences. */
const MOST_NUMBERS = 6000;
/** Elements of an argument whose slope is measured. */
const SAMPLES = 9;
/** Half the distance of the two points that a slope is measured between. */
const STEP = 1e-4;
/** Largest difference as a share of the largest slope: what float32 and the differences leave. */
const TOLERANCE = 1e-5;

/** Slope of sum(upstream * formula) along one element of an argument, by central differences. */
function slope(
  { of, upstream }: GradientOf,
  { values, sizes, argument, at }: {
    readonly values: Values;
    readonly sizes: Sizes;
    readonly argument: string;
    readonly at: number;
  },
): number {
  const loss = (distance: number) => {
    const moved = values[argument]!.slice();
    moved[at]! += distance;
    const result = of({ ...values, [argument]: moved }, sizes);
    return result.reduce((sum, v, i) => sum + v * values[upstream]![i]!, 0);
  };
  return (loss(STEP) - loss(-STEP)) / (2 * STEP);
}

for (const [kernel, entry] of Object.entries(CASES) as [KernelName, KernelEntry][]) {
  const { gradient } = entry;
  if (gradient === undefined) continue;
  onBackends(`gradients: ${kernel} gives the slopes of its formula`, async ({ open }) => {
    using opened = await open(2);
    let compared = 0;
    for (const one of entry.cases) {
      if (one.tolerance !== undefined) continue;
      const made = argumentsOf(kernel, { entry, one });
      const values = valuesOf(made);
      if (values[gradient.upstream]!.length > MOST_NUMBERS) continue;
      const results = run(opened.backend, kernel, { made, scalars: one.sizes });
      for (const [name, argument] of Object.entries(gradient.along)) {
        const got = decode("f32", results[name]!);
        // A kernel that adds began with what was there.
        const adds =
          (KERNELS[kernel]!.params[name] as { direction?: string }).direction === "inout";
        const gained = got.map((v, i) => v - (adds ? values[name]![i]! : 0));
        const places = Float64Array.from(
          { length: Math.min(SAMPLES, gained.length) },
          (_, i) => Math.floor((i * gained.length) / SAMPLES) % gained.length,
        );
        const want = places.map((at) =>
          slope(gradient, { values, sizes: one.sizes, argument, at })
        );
        // A small gain on top of a large number keeps that number's rounding.
        const largest = got.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-3);
        const what = `${name} of ${kernel} with ${JSON.stringify(one.sizes)}`;
        const taken = places.map((at) => gained[at]!);
        assertClose([taken, want], { what, absolute: TOLERANCE * largest });
        compared += places.length;
      }
    }
    assert.ok(compared > 2 * SAMPLES, "enough cases are small enough to be differentiated");
  });
}
