import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Candidates } from "../../lib/infer/candidates.ts";
import { golden } from "../fixtures.ts";

interface SamplingCase {
  readonly label: string;
  readonly logits_ref: string;
  readonly ops_in_order: readonly (readonly [string, ...number[]])[];
  readonly previous_tokens: readonly number[];
  readonly kept: readonly number[];
  readonly probs: readonly number[];
  readonly argmax: number;
  readonly u?: readonly number[];
  readonly picked?: readonly number[];
}

interface SamplingFile {
  readonly logits: Readonly<Record<string, readonly number[]>>;
  readonly cases: readonly SamplingCase[];
}

const file = JSON.parse(readFileSync(golden("sampling/sampling.json"), "utf8")) as SamplingFile;
const TIES_CASE = "top-k 2 with ties";

type Step = (candidates: Candidates, previous: readonly number[], values: number[]) => void;
const STEPS: Readonly<Record<string, Step>> = {
  temperature: (candidates, _, [value]) => candidates.divide(value!),
  top_k: (candidates, _, [value]) => candidates.keepTop(value!),
  top_p: (candidates, _, [value]) => candidates.keepNucleus(value!),
  min_p: (candidates, _, [value]) => candidates.keepLikely(value!),
  repetition_penalty: (candidates, previous, [value]) =>
    candidates.penalizeRepetition(previous, value!),
  frequency_presence: (candidates, previous, [frequency, presence]) =>
    candidates.penalizeFrequency(previous, { frequency: frequency!, presence: presence! }),
};

function run(sample: SamplingCase): Candidates {
  const candidates = new Candidates();
  candidates.set(file.logits[sample.logits_ref]!);
  for (const [name, ...values] of sample.ops_in_order) {
    STEPS[name]!(candidates, sample.previous_tokens, values);
  }
  return candidates;
}

for (const sample of file.cases) {
  // The stored case keeps all tied tokens, as Hugging Face does; ours keeps exactly k, tested below.
  if (sample.label === TIES_CASE) continue;
  Deno.test(`sampling steps match the reference: ${sample.label} on ${sample.logits_ref}`, () => {
    const candidates = run(sample);
    const probabilities = candidates.probabilities();
    sample.probs.forEach((wanted, id) => {
      const difference = Math.abs(probabilities[id]! - wanted);
      ok(difference <= 1e-12, `token ${id}: ${probabilities[id]} instead of ${wanted}`);
    });
    // A kept token whose probability underflows to 0 is not listed by the reference.
    const kept = [...candidates.ids()].filter((id) => probabilities[id]! > 0);
    deepStrictEqual(kept, sample.kept.filter((id) => sample.probs[id]! > 0));
    strictEqual(candidates.best(), sample.argmax);
    deepStrictEqual(sample.u?.map((draw) => candidates.pick(draw)), sample.picked);
  });
}

Deno.test("the k largest are exactly k, and ties go to the lower id", () => {
  const sample = file.cases.find((one) => one.label === TIES_CASE)!;
  deepStrictEqual([...run(sample).ids()], [0, 1]);
  const candidates = new Candidates();
  candidates.set([1, 3, 2, 3, 3, 0]);
  candidates.keepTop(2);
  deepStrictEqual([...candidates.ids()], [1, 3]);
});

Deno.test("the k largest of a large vocabulary are those of a full sort", () => {
  const logits = Array.from({ length: 5000 }, (_, id) => Math.sin(id * 12.9898) * 43758.5453 % 7);
  const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
  for (const k of [1, 2, 40, 777, 4999]) {
    const candidates = new Candidates();
    candidates.set(logits);
    candidates.keepTop(k);
    deepStrictEqual([...candidates.ids()], order.slice(0, k).sort((a, b) => a - b));
  }
});

Deno.test("the nucleus of a large vocabulary is that of a full sort", () => {
  const logits = Array.from({ length: 3000 }, (_, id) => Math.cos(id * 78.233) * 9631.7 % 5);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
  for (const p of [0.01, 0.5, 0.9, 0.999]) {
    let sum = 0;
    const wanted = order.filter((id) => {
      const stays = sum < p;
      sum += Math.exp(logits[id]!) / total;
      return stays;
    });
    const candidates = new Candidates();
    candidates.set(logits);
    candidates.keepNucleus(p);
    deepStrictEqual([...candidates.ids()], wanted.sort((a, b) => a - b));
  }
});

Deno.test("a logit that is not a number is never chosen, and none at all is refused", () => {
  const candidates = new Candidates();
  candidates.set([NaN, 1, NaN, 2]);
  strictEqual(candidates.best(), 3);
  deepStrictEqual([...candidates.ids()], [1, 3]);
  throws(
    () => candidates.set([NaN, NaN]),
    /^LlameroError: Cannot choose a token: none of the 2 logits is a number/,
  );
});

Deno.test("infinite logits do not turn probabilities into NaN", () => {
  const candidates = new Candidates();
  candidates.set([Infinity, 0, -Infinity]);
  deepStrictEqual([...candidates.probabilities()], [1, 0, 0]);
  candidates.set([-Infinity, -Infinity]);
  strictEqual(candidates.pick(0.9), 1);
});

Deno.test("a draw close to 1 never picks a token that was removed or is impossible", () => {
  const candidates = new Candidates();
  candidates.set([0.1, 0.2, 0.3, -1e9]);
  strictEqual(candidates.pick(1 - 2 ** -53), 2);
});
