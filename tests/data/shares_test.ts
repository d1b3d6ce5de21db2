import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { repeatedShares, resolveShares } from "../../lib/data/shares.ts";

/** LLaMA (Touvron et al. 2023), Table 1: weight in percent and epochs. */
const TABLE_1 = [
  ["CommonCrawl", 67.0, 1.10],
  ["C4", 15.0, 1.06],
  ["Github", 4.5, 0.64],
  ["Wikipedia", 4.5, 2.45],
  ["Books", 4.5, 2.23],
  ["ArXiv", 2.5, 1.06],
  ["StackExchange", 2.0, 1.03],
] as const;
const TOTAL = 1.4e12;

function llamaSources() {
  return TABLE_1.map(([name, weight, epochs]) => ({
    name,
    weight,
    epochs,
    tokens: Math.round((weight / 100) * TOTAL / epochs),
  }));
}

function near(actual: number, expected: number, relative = 1e-9): void {
  assert.ok(Math.abs(actual / expected - 1) <= relative, `${actual} is not ${expected}`);
}

Deno.test("LLaMA's Table 1 as it is, weights and epochs, gives its 1.4 trillion tokens", () => {
  const { total, shares } = resolveShares(llamaSources(), undefined);
  near(total, TOTAL);
  shares.forEach(({ weight, epochs }, i) => {
    near(weight, TABLE_1[i]![1] / 100);
    near(epochs, TABLE_1[i]![2]);
  });
});

Deno.test("weights and total give the epochs", () => {
  const sources = llamaSources().map(({ epochs: _, ...rest }) => rest);
  const { shares } = resolveShares(sources, TOTAL);
  shares.forEach(({ epochs }, i) => near(epochs, TABLE_1[i]![2]));
});

Deno.test("epochs alone give weights and total", () => {
  const sources = llamaSources().map(({ weight: _, ...rest }) => rest);
  const { total, shares } = resolveShares(sources, undefined);
  near(total, TOTAL);
  shares.forEach(({ weight }, i) => near(weight, TABLE_1[i]![1] / 100));
});

Deno.test("a table's rounded epochs do not contradict the total that it names", () => {
  const sources = [{ name: "a", tokens: 100_000, weight: 1, epochs: 0.64 }];
  near(resolveShares(sources, 64_400).shares[0]!.epochs, 0.644);
});

Deno.test("more epochs than allowed are refused with the source's name", () => {
  const sources = [{ name: "books", tokens: 1000, weight: 1, epochs: 2 }];
  assert.throws(
    () => resolveShares(sources, 3000),
    (error: Error) =>
      error instanceof ConfigError &&
      error.message ===
        'Cannot draw 3.00 K tokens: "books" would be seen 3.00 times, at most 2 is allowed',
  );
});

Deno.test("without weights and epochs, sources count by their size", () => {
  const sources = [{ name: "a", tokens: 300 }, { name: "b", tokens: 100 }];
  const { shares } = resolveShares(sources, 800);
  assert.deepEqual(shares.map(({ weight }) => weight), [0.75, 0.25]);
  assert.deepEqual(shares.map(({ epochs }) => epochs), [2, 2]);
});

Deno.test("a source that lacks its weight, and a run without a length, are refused", () => {
  const half = [{ name: "a", tokens: 300, weight: 1 }, { name: "b", tokens: 100 }];
  assert.throws(() => resolveShares(half, 800), /"b" has no weight/);
  assert.throws(
    () => resolveShares([{ name: "a", tokens: 300 }], undefined),
    /how long the run is/,
  );
});

Deno.test("sources seen more than four times are named", () => {
  const sources = [{ name: "a", tokens: 100, weight: 1 }, { name: "b", tokens: 100, weight: 9 }];
  const repeated = repeatedShares(resolveShares(sources, 500));
  assert.deepEqual(repeated.map(({ name }) => name), ["b"]);
});

Deno.test("a share far below one is told in digits that count, not as 0.00", () => {
  assert.throws(
    () => resolveShares([{ name: "a", tokens: 1_000_000, epochs: 0.001 }], 1648),
    /would be seen 0\.0016 times, at most 0\.001 is allowed/,
  );
});
