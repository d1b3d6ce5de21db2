import assert from "node:assert/strict";
import { ConfigError } from "../../lib/base/errors.ts";
import { treeArenas } from "../../lib/parallel/gradient_tree.ts";
import { microBatchesOf, type MicroBatchOptions } from "../../lib/parallel/micro_batches.ts";

/** First sequences of the micro-batches of every replica. */
function firsts(
  sequences: number,
  ranks: number,
  options: Omit<MicroBatchOptions, "replicas">,
): number[][] {
  return Array.from(
    { length: ranks },
    (_, rank) =>
      microBatchesOf(sequences, { ...options, replicas: { rank, size: ranks } })
        .map(({ first }) => first),
  );
}

const TREE = { microBatch: 1, order: "tree", partitioned: false } as const;

Deno.test("replicas take neighbouring micro-batches, the last of which may be shorter", () => {
  const options = { microBatch: 2, order: "ranks", partitioned: false } as const;
  assert.deepEqual(firsts(12, 2, options), [[0, 2, 4], [6, 8, 10]]);
  const share = microBatchesOf(10, { ...options, replicas: { rank: 1, size: 2 } });
  assert.deepEqual(share, [
    { first: 5, count: 2 },
    { first: 7, count: 2 },
    { first: 9, count: 1 },
  ]);
});

Deno.test("a replica has a whole subtree, or takes leaves in turns", () => {
  assert.deepEqual(firsts(8, 2, TREE), [[0, 1, 2, 3], [4, 5, 6, 7]]);
  assert.deepEqual(firsts(6, 2, TREE), [[0, 2, 4], [1, 3, 5]]);
  assert.deepEqual(firsts(8, 4, { ...TREE, partitioned: true }), [[0, 4], [1, 5], [2, 6], [3, 7]]);
  assert.deepEqual(firsts(8, 2, { ...TREE, microBatch: 2, partitioned: true }), [[0, 4], [2, 6]]);
});

Deno.test("trees that replicas cannot share evenly are refused with what was wanted", () => {
  const refused = (sequences: number, ranks: number, says: RegExp) =>
    assert.throws(() => firsts(sequences, ranks, TREE), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, says);
      return true;
    });
  refused(12, 3, /there are 3 replicas, 1, 2, 4, 8, … were wanted/);
  refused(6, 4, /6 sequences of a step are no multiple of 4 replicas times micro-batches of 1/);
  assert.deepEqual(firsts(5, 1, { ...TREE, microBatch: 2 }), [[0, 2, 4]]);
});

Deno.test("as many sums wait as the tree is high", () => {
  for (let leaves = 1; leaves <= 64; leaves++) {
    // Subtrees that wait while leaf i is computed: the ones of i in binary.
    const waiting = Array.from(
      { length: leaves },
      (_, i) => i.toString(2).replaceAll("0", "").length,
    );
    assert.equal(treeArenas(leaves), Math.max(...waiting), `${leaves} leaves`);
  }
});
