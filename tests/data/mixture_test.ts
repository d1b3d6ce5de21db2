import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { Mixture } from "../../lib/data/mixture.ts";

const WEIGHTS = [0.67, 0.15, 0.045, 0.045, 0.045, 0.025, 0.02];
const named = (weights: readonly number[]) =>
  weights.map((weight, i) => ({ name: `source ${i}`, weight }));

Deno.test("a mixture gives each source its share to a sequence at every block's end", () => {
  for (const weights of [WEIGHTS, [1], [0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.999, 0.001]]) {
    const mixture = new Mixture(named(weights));
    const counts = weights.map(() => 0);
    for (let k = 0; k < 40 * mixture.block; k++) {
      if (k % mixture.block === 0) {
        counts.forEach((count, i) => {
          const off = Math.abs(count - weights[i]! * k);
          assert.ok(off <= 1 + 1e-6, `source ${i} is ${off} off after ${k}`);
        });
      }
      counts[mixture.at(k).source]!++;
    }
  }
});

Deno.test("between the ends of blocks no source is more than three sequences off", () => {
  const mixture = new Mixture(named(WEIGHTS));
  const counts = WEIGHTS.map(() => 0);
  for (let k = 0; k < 10_000; k++) {
    counts[mixture.at(k).source]!++;
    counts.forEach((count, i) => assert.ok(Math.abs(count - WEIGHTS[i]! * (k + 1)) < 3));
  }
});

Deno.test("every source gives its sequences 0, 1, 2, … once each", () => {
  const mixture = new Mixture(named(WEIGHTS));
  const seen = WEIGHTS.map(() => new Set<number>());
  for (let k = 0; k < 100 * mixture.block; k++) {
    const { source, index } = mixture.at(k);
    assert.ok(!seen[source]!.has(index));
    seen[source]!.add(index);
  }
  for (const indices of seen) assert.equal(Math.max(...indices), indices.size - 1);
});

Deno.test("any draw is what the walk from the beginning gives", () => {
  const walked = new Mixture(named(WEIGHTS));
  const draws = Array.from({ length: 5000 }, (_, k) => walked.at(k));
  const jumping = new Mixture(named(WEIGHTS));
  for (let i = 0; i < 2000; i++) {
    const k = (i * 2_654_435_761) % draws.length;
    assert.deepEqual(jumping.at(k), draws[k]);
  }
  const far = new Mixture(named(WEIGHTS)).at(683_593_750);
  assert.ok(far.index > 0 && far.index < 683_593_750);
});

Deno.test("a weight too small to be dealt is refused with the source's name", () => {
  assert.throws(
    () => new Mixture(named([1 - 1e-9, 1e-9])),
    (error: Error) => error instanceof ConfigError && error.message.includes('"source 1"'),
  );
});
