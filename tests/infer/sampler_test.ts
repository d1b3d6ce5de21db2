import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ConfigError } from "../../lib/base/errors.ts";
import { Sampler, type SamplingOptions } from "../../lib/infer/sampler.ts";
import { golden } from "../fixtures.ts";

const file = JSON.parse(readFileSync(golden("sampling/sampling.json"), "utf8"));

for (const logits of ["a", "b", "c"]) {
  Deno.test(`a sampler's order is penalty, top-k, top-p, min-p, temperature (logits ${logits})`, () => {
    const sample = file.cases.find((one: { label: string; logits_ref: string }) =>
      one.label === "llama.cpp default order" && one.logits_ref === logits
    );
    const sampler = new Sampler({
      repeatPenalty: 1.2,
      topK: 12,
      topP: 0.9,
      minP: 0.05,
      temperature: 0.8,
    });
    const picked = sample.u.map((draw: number) =>
      sampler.sample(file.logits[logits], { previous: sample.previous_tokens, draw })
    );
    deepStrictEqual(picked, sample.picked);
  });
}

Deno.test("temperature 0 takes the most likely token after the penalties, the lowest id on ties", () => {
  const greedy = new Sampler({ temperature: 0 });
  strictEqual(greedy.sample([1, 5, 5, 2]), 1);
  strictEqual(greedy.draws, false);
  const penalized = new Sampler({ temperature: 0, repeatPenalty: 2 });
  strictEqual(penalized.sample([1, 5, 4, 2], { previous: [1] }), 2);
});

Deno.test("a sampler keeps nothing from one row to the next", () => {
  const sampler = new Sampler({ topK: 1, repeatPenalty: 3 });
  strictEqual(sampler.sample([3, 2, 1], { previous: [0] }), 1);
  strictEqual(sampler.sample([3, 2, 1]), 0);
  strictEqual(sampler.sample([0, 9]), 1);
});

const REFUSED: readonly [SamplingOptions, RegExp][] = [
  [{ temperature: -1 }, /temperature -1: wanted a finite number >= 0/],
  [{ temperature: NaN }, /temperature NaN/],
  [{ topK: 2.5 }, /top-k 2.5: wanted an integer >= 0/],
  [{ topP: 0 }, /top-p 0: wanted a number > 0 and <= 1/],
  [{ topP: 1.5 }, /top-p 1.5/],
  [{ minP: -0.1 }, /min-p -0.1/],
  [{ repeatPenalty: 0 }, /repeat-penalty 0: wanted a finite number > 0/],
  [{ presencePenalty: Infinity }, /presence-penalty Infinity/],
];
for (const [options, message] of REFUSED) {
  Deno.test(`a sampler refuses ${JSON.stringify(options)} and names the option`, () => {
    throws(() => new Sampler(options), (error: Error) => {
      return error instanceof ConfigError && message.test(error.message);
    });
  });
}
