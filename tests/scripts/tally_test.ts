import assert from "node:assert/strict";
import { tally } from "../../scripts/tally.ts";

Deno.test("the tests of deno are counted, and the ignored ones named", () => {
  const output = [
    "running 3 tests from ./a_test.ts",
    "one ... ok (2ms)",
    "four ... ok (11s)",
    "five ... ok (1m4s)",
    "./a_test.ts => three ... FAILED (12ms)",
    "two (ignored: no zsh) ... ignored (0ms)",
    "ok | 13 passed (5 steps) | 2 failed (1 step) | 1 ignored (62ms)",
  ].join("\n");
  assert.deepEqual(tally(output, false), {
    passed: 13,
    failed: 2,
    ignored: ["two (ignored: no zsh)"],
    names: ["./a_test.ts => three"],
    slowest: ["five (64 s)", "four (11 s)"],
  });
});

Deno.test("the tests of all of cargo's targets are added up", () => {
  const output = [
    "test simd::avx512 ... ignored, the processor has no AVX-512",
    "test ops::softmax ... ok",
    "test ops::rope ... FAILED",
    "test result: ok. 41 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
    "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
  ].join("\n");
  assert.deepEqual(tally(output, false), {
    passed: 43,
    failed: 1,
    ignored: ["simd::avx512 (the processor has no AVX-512)"],
    names: ["ops::rope"],
    slowest: [],
  });
});

Deno.test("a run that fails before any test counts as one failure", () => {
  assert.deepEqual(tally("error: Type checking failed.", false), {
    passed: 0,
    failed: 1,
    ignored: [],
    names: [],
    slowest: [],
  });
  assert.equal(tally("ok | 3 passed | 0 failed (1ms)", false).failed, 1);
});
