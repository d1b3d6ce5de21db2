import assert from "node:assert/strict";
import { KeyedPermutation } from "../../lib/data/permutation.ts";

const key = { seed: 7, stream: 3, epoch: 1 };

function entries(length: number, of = key): number[] {
  const order = new KeyedPermutation(length, of);
  return Array.from({ length }, (_, i) => order.at(i));
}

Deno.test("a keyed permutation has every entry once, whatever its length", () => {
  for (const length of [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097]) {
    const sorted = entries(length).sort((a, b) => a - b);
    assert.deepEqual(sorted, Array.from({ length }, (_, i) => i));
  }
});

Deno.test("seed, stream and epoch each give another order, the same values the same one", () => {
  const orders = [
    key,
    { ...key, seed: 8 },
    { ...key, seed: 7 + 2 ** 32 },
    { ...key, stream: 4 },
    { ...key, epoch: 2 },
  ].map((of) => entries(50, of).join(" "));
  assert.equal(new Set(orders).size, orders.length);
  assert.deepEqual(entries(50), entries(50));
});

Deno.test("a keyed permutation looks random: fixed points and rises are as many as chance gives", () => {
  const length = 10_000;
  const order = entries(length);
  const fixed = order.filter((value, i) => value === i).length;
  const rises = order.filter((value, i) => i > 0 && value > order[i - 1]!).length;
  // Poisson(1), and normal with mean n/2 and variance n/12: five deviations and more.
  assert.ok(fixed <= 8, `${fixed} fixed points`);
  assert.ok(Math.abs(rises - length / 2) < 5 * Math.sqrt(length / 12), `${rises} rises`);
});

Deno.test("far entries of huge permutations are found at once", () => {
  const length = 3e15;
  const order = new KeyedPermutation(length, key);
  const some = Array.from({ length: 1000 }, (_, i) => order.at(length - 1 - i));
  assert.equal(new Set(some).size, 1000);
  assert.ok(some.every((value) => Number.isInteger(value) && value >= 0 && value < length));
});

Deno.test("places and lengths that are none are refused", () => {
  assert.throws(() => new KeyedPermutation(0, key), RangeError);
  assert.throws(() => new KeyedPermutation(5, key).at(5), RangeError);
});
