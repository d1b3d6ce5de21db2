import { ok, strictEqual } from "node:assert/strict";
import { estimate, judge, klDivergence, percentile } from "../../lib/eval/distribution.ts";

function close(actual: number, wanted: number): void {
  ok(Math.abs(actual - wanted) <= 1e-12 * Math.max(1, Math.abs(wanted)), `${actual}, ${wanted}`);
}

const LOGITS = Float32Array.of(Math.log(1), Math.log(2), Math.log(5));

Deno.test("a token is judged by the softmax of its row", () => {
  const { loss, best, logZ } = judge(Float32Array.of(0, 0, 0, 0), 2);
  close(loss, Math.log(4));
  close(logZ, Math.log(4));
  strictEqual(best, 0, "the lowest of equal ones");
  const far = judge(Float32Array.of(1000, 0, -1000), 0);
  strictEqual(far.loss, 0);
});

Deno.test("KL divergence is the mean of the difference of logs under the first", () => {
  const p = { logits: LOGITS, logZ: judge(LOGITS, 0).logZ };
  const even = Float32Array.of(3, 3, 3);
  const q = { logits: even, logZ: judge(even, 0).logZ };
  const parts = [1 / 8, 2 / 8, 5 / 8];
  const wanted = parts.reduce((sum, x) => sum + x * Math.log(x * 3), 0);
  ok(Math.abs(klDivergence(p, q) - wanted) < 1e-7, "the logits are f32");
  strictEqual(klDivergence(p, p), 0);
  const never = Float32Array.of(0, -Infinity, 0);
  ok(Number.isFinite(klDivergence({ logits: never, logZ: Math.log(2) }, q)));
});

Deno.test("a standard error is that of the mean", () => {
  const { mean, standardError } = estimate([1, 2, 3, 4]);
  close(mean, 2.5);
  close(standardError, Math.sqrt(5 / 3 / 4));
  strictEqual(estimate([7]).standardError, 0);
});

Deno.test("a percentile is a value that so many do not exceed", () => {
  const values = Float64Array.from({ length: 200 }, (_, i) => 199 - i);
  strictEqual(percentile(values, 0.99), 197);
  strictEqual(percentile(values, 1), 199);
  strictEqual(percentile(Float64Array.of(3), 0.99), 3);
});
