import assert from "node:assert/strict";
import { didYouMean, nearest } from "../../lib/base/nearest.ts";

const FLAGS = ["--model", "--max-tokens", "--temperature", "--top-k", "--top-p", "--tokenizer"];

Deno.test("a letter too many, too few, wrong or swapped is forgiven", () => {
  for (const word of ["--modell", "--modl", "--madel", "--mdoel", "--MODEL"]) {
    assert.equal(nearest(word, FLAGS), "--model", word);
  }
});

Deno.test("the nearest of several wins, the first of equals", () => {
  assert.equal(nearest("--top-kk", FLAGS), "--top-k");
  assert.equal(nearest("--top-x", FLAGS), "--top-k");
});

Deno.test("the beginning of a long word is enough", () => {
  assert.equal(nearest("--temp", FLAGS), "--temperature");
});

Deno.test("a word that resembles none gets no answer", () => {
  assert.equal(nearest("--seed", FLAGS), undefined);
  assert.equal(nearest("x", ["gpu", "cpu"]), undefined);
  assert.equal(nearest("abc", []), undefined);
  assert.equal(didYouMean("xyzzy", FLAGS), undefined);
});

Deno.test("a very long word is answered at once", () => {
  assert.equal(nearest("-".repeat(1_000_000), FLAGS), undefined);
});

Deno.test("the hint names the word", () => {
  assert.equal(didYouMean("q8_1", ["q4_0", "q8_0"]), "did you mean q8_0?");
});
