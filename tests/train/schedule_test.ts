import assert from "node:assert/strict";
import { learningRate, type ScheduleOptions } from "../../lib/train/schedule.ts";

const base: ScheduleOptions = {
  schedule: "cosine",
  lr: 1,
  minLr: 0.1,
  warmup: 10,
  hold: 0,
  decay: 20,
  steps: 110,
};

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);
}

Deno.test("every schedule rises in a straight line to its peak", () => {
  for (const schedule of ["cosine", "linear", "constant", "inverse-sqrt", "wsd"] as const) {
    near(learningRate(1, { ...base, schedule }), 0.1);
    near(learningRate(5, { ...base, schedule }), 0.5);
    near(learningRate(10, { ...base, schedule }), 1);
  }
});

Deno.test("cosine ends at the least rate, with half the way at half the time", () => {
  near(learningRate(60, base), 0.55);
  near(learningRate(110, base), 0.1);
  near(learningRate(35, base), 0.1 + 0.9 * (1 + Math.SQRT1_2) / 2);
  near(learningRate(200, base), 0.1);
});

Deno.test("linear falls evenly and constant not at all", () => {
  near(learningRate(35, { ...base, schedule: "linear" }), 0.775);
  near(learningRate(110, { ...base, schedule: "linear" }), 0.1);
  near(learningRate(110, { ...base, schedule: "constant" }), 1);
});

Deno.test("PaLM's is min(1e-2, 1/sqrt(k)) at every step", () => {
  const palm = { ...base, schedule: "inverse-sqrt", lr: 1e-2, minLr: 0, warmup: 0 } as const;
  for (const k of [1, 2, 100, 9999, 10_000, 10_001, 40_000, 255_000]) {
    const expected = Math.min(1e-2, 1 / Math.sqrt(k));
    const actual = learningRate(k, { ...palm, hold: 10_000, steps: 255_000 });
    assert.ok(Math.abs(actual / expected - 1) < 1e-12, `step ${k}: ${actual}`);
  }
});

Deno.test("wsd stays at the peak until its last steps", () => {
  const wsd = { ...base, schedule: "wsd" } as const;
  near(learningRate(90, wsd), 1);
  near(learningRate(95, wsd), 1 - 0.9 * Math.sqrt(0.25));
  near(learningRate(110, wsd), 0.1);
});

Deno.test("a hold keeps the peak before the fall", () => {
  near(learningRate(30, { ...base, hold: 20 }), 1);
  near(learningRate(70, { ...base, hold: 20 }), 0.55);
});
