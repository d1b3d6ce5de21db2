import assert from "node:assert/strict";
import { alone } from "../../lib/comm/group.ts";
import { evenParts } from "../../lib/comm/parts.ts";
import { onTransports } from "./on_transports.ts";
import { numbersOf } from "./rank_programs.ts";

/** Processes take longer to start than workers: two numbers of them, one odd, are enough. */
const RANKS = { local: [1, 2, 3, 4, 5, 8], mpi: [2, 5] } as const;
const LENGTHS = [0, 1, 7, 256, 257, 1001, 50_003];

/** The order that `tree_sum.ts` promises, written as its definition: pairs at growing distances. */
function treeSum(vectors: readonly Float32Array[]): Float32Array {
  const partial = vectors.map((vector) => vector.slice());
  for (let gap = 1; gap < partial.length; gap *= 2) {
    for (let rank = 0; rank + gap < partial.length; rank += 2 * gap) {
      const [left, right] = [partial[rank]!, partial[rank + gap]!];
      left.forEach((value, i) => left[i] = Math.fround(value + right[i]!));
    }
  }
  return partial[0]!;
}

function inputs(ranks: number, length: number): Float32Array[] {
  return Array.from({ length: ranks }, (_, rank) => numbersOf(rank, length));
}

function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer);
}

function sameBits(found: Float32Array, wanted: Float32Array, what: string): void {
  assert.deepEqual(bits(found), bits(wanted), what);
}

/** The rounding of a tree of N leaves is below log2(N) units of the sum of absolute values. */
function nearDoubleSum(sum: Float32Array, vectors: readonly Float32Array[]): void {
  for (let i = 0; i < sum.length; i++) {
    let [exact, absolute] = [0, 0];
    for (const vector of vectors) {
      exact += vector[i]!;
      absolute += Math.abs(vector[i]!);
    }
    const bound = Math.ceil(Math.log2(vectors.length)) * 2 ** -23 * absolute;
    assert.ok(Math.abs(sum[i]! - exact) <= bound, `${sum[i]} for ${exact}`);
  }
}

type Case = readonly ["local" | "mpi", number];
const CASES = Object.entries(RANKS).flatMap(([only, counts]) =>
  counts.map((ranks) => [only, ranks] as Case)
);

for (const [only, ranks] of CASES) {
  const test = (name: string, body: Parameters<typeof onTransports>[1]) =>
    onTransports(name, body, { only });

  test(`${ranks} ranks all get the same sum, in the tree's order`, async ({ run }) => {
    const results = await run<Float32Array[]>(ranks, {
      program: "allReduce",
      lengths: LENGTHS,
    });
    LENGTHS.forEach((length, at) => {
      const vectors = inputs(ranks, length);
      const wanted = treeSum(vectors);
      nearDoubleSum(wanted, vectors);
      for (const result of results) sameBits(result[at]!, wanted, `${length} elements`);
    });
  });

  test(`${ranks} ranks sum a part each and gather the parts`, async ({ run }) => {
    type Result = { own: Float32Array; data: Float32Array }[];
    const results = await run<Result>(ranks, { program: "scatterAndGather", lengths: LENGTHS });
    LENGTHS.forEach((length, at) => {
      const wanted = treeSum(inputs(ranks, length));
      const parts = evenParts(length, ranks);
      results.forEach((result, rank) => {
        const { own, data } = result[at]!;
        sameBits(own, wanted.subarray(parts[rank]!.start, parts[rank]!.end), `part of ${rank}`);
        sameBits(data, wanted, `whole on ${rank}`);
      });
    });
  });

  test(`${ranks} ranks get the vector of any root`, async ({ run }) => {
    const lengths = [0, 1, 4099];
    const results = await run<Float32Array[]>(ranks, { program: "broadcasts", lengths });
    const wanted = lengths.flatMap((length) => inputs(ranks, length));
    for (const result of results) wanted.forEach((vector, at) => sameBits(result[at]!, vector, ""));
  });

  test(`${ranks} ranks leave a barrier when all have come`, async ({ run }) => {
    const clock = await Deno.makeTempFile();
    const results = await run<number[]>(ranks, { program: "barrier", clock });
    await Deno.remove(clock);
    for (const seen of results) assert.deepEqual(seen, [0, 0, 0, 0, 0]);
  });
}

onTransports("run after run gives the same bits, in rings of any size", async ({ run }) => {
  const input = { program: "allReduce", lengths: [50_003] } as const;
  const runs = [
    await run<Float32Array[]>(5, input),
    await run<Float32Array[]>(5, input),
    await run<Float32Array[]>(5, input, { ringBytes: 64 }),
  ];
  for (const results of runs) {
    for (const [data] of results) sameBits(data!, runs[0]![0]![0]!, "");
  }
});

onTransports("four ranks give the bits of two that each added two", async ({ run }) => {
  const [first, second, third, fourth] = inputs(4, 1000);
  const pairs = treeSum([treeSum([first!, second!]), treeSum([third!, fourth!])]);
  const [result] = await run<Float32Array[]>(4, { program: "allReduce", lengths: [1000] });
  sameBits(result![0]!, pairs, "");
});

onTransports("a maximum is not a number where any rank's is not", async ({ run }) => {
  for (const data of await run<Float64Array>(3, { program: "maximum" })) {
    assert.deepEqual([...data], [2, 1, NaN]);
  }
});

onTransports("parts may have any lengths, none too", async ({ run }) => {
  const wanted = treeSum(inputs(4, 18));
  type Result = { own: Float32Array; data: Float32Array };
  const results = await run<Result>(4, { program: "unevenParts" });
  [[0, 0], [0, 3], [3, 9], [9, 18]].forEach(([start, end], rank) => {
    sameBits(results[rank]!.own, wanted.subarray(start, end), `part of ${rank}`);
    sameBits(results[rank]!.data, wanted, `whole on ${rank}`);
  });
});

onTransports(
  "everybody may send more than the way holds before anyone receives",
  async ({ run }) => {
    type Result = { peer: number; data: Float32Array }[][];
    const lengths = [10_000, 3, 0];
    const input = { program: "crossing", lengths } as const;
    const results = await run<Result>(3, input, { ringBytes: 1024 });
    results.forEach((rounds, rank) =>
      rounds.forEach((messages, at) => {
        assert.equal(messages.length, 2);
        for (const { peer, data } of messages) {
          sameBits(data, numbersOf(peer * 3 + rank, lengths[at]!), `${peer} to ${rank}`);
        }
      })
    );
  },
);

onTransports("messages of one tag keep their order, and pass those of another", async ({ run }) => {
  const [, received] = await run<number[]>(2, { program: "tags" });
  assert.deepEqual(received, [5, 5, 7]);
});

onTransports("started calls may be waited for in any order", async ({ run }) => {
  const lengths = [3000, 1, 700, 0, 20_000];
  const input = { program: "outOfOrder", lengths } as const;
  for (const result of await run<Float32Array[]>(4, input, { ringBytes: 256 })) {
    lengths.forEach((length, at) => sameBits(result[at]!, treeSum(inputs(4, length)), ""));
  }
});

onTransports("a call may be asked whether it is done until it is", async ({ run }) => {
  const wanted = treeSum(inputs(3, 100_000));
  for (const data of await run<Float32Array>(3, { program: "computingBetween" })) {
    sameBits(data, wanted, "");
  }
});

onTransports("a split groups by color, orders by key, and can be split again", async ({ run }) => {
  const results = await run(8, { program: "split" });
  // Even ranks by falling number: 6, 4, 2, 0; so the pairs are (6, 4) and (2, 0).
  assert.deepEqual(results, [
    { rank: 3, size: 4, sum: 12, pair: 2, inPair: 2 },
    { rank: 3, size: 4, sum: 16, pair: 2, inPair: 4 },
    { rank: 2, size: 4, sum: 12, pair: 2, inPair: 2 },
    { rank: 2, size: 4, sum: 16, pair: 2, inPair: 4 },
    { rank: 1, size: 4, sum: 12, pair: 2, inPair: 10 },
    { rank: 1, size: 4, sum: 16, pair: 2, inPair: 12 },
    { rank: 0, size: 4, sum: 12, pair: 2, inPair: 10 },
    { rank: 0, size: 4, sum: 16, pair: 2, inPair: 12 },
  ]);
});

onTransports("bytes are counted by kind, and are those of the formulas", async ({ run }) => {
  type Counts = Record<string, { calls: number; messages: number; bytes: number }>;
  const results = await run<Counts>(4, { program: "traffic" });
  const bytes = 4 * 8000;
  for (const counts of results) {
    assert.equal(counts["allReduce"]!.bytes, 2 * bytes * 3 / 4);
    assert.equal(counts["reduceScatter"]!.bytes, bytes * 3 / 4);
    assert.equal(counts["allGather"]!.bytes, bytes * 3 / 4);
    assert.equal(counts["barrier"]!.messages, 2);
    assert.equal(counts["allReduce"]!.calls, 1);
  }
  const broadcast = results.map((counts) => counts["broadcast"]!.bytes);
  assert.equal(broadcast.reduce((sum, sent) => sum + sent), 3 * bytes);
});

Deno.test("one rank alone copies nothing and may make every call", () => {
  const world = alone();
  const data = Float32Array.of(1, 2, 3);
  world.allReduce(data);
  assert.equal(world.reduceScatter(data), data);
  world.allGather(data);
  world.broadcast(data, 0);
  world.barrier();
  world.progress();
  assert.equal(world.split({ color: 3 }).size, 1);
  assert.deepEqual([...data], [1, 2, 3]);
  assert.throws(() => world.broadcast(data, 1), /rank 1 of 1/);
  assert.throws(() => world.allGather(data, { lengths: [2] }), /parts of 2 elements of 3/);
  assert.throws(() => world.send(data, 0), /nothing to itself/);
});
