import assert from "node:assert/strict";
import { CommunicationError } from "../../lib/base/errors.ts";
import { alone } from "../../lib/comm/group.ts";
import { runLocal } from "../../lib/comm/local/run.ts";
import { bucketsOf } from "../../lib/parallel/buckets.ts";
import { GradientReducer, shareOf, stagingElements } from "../../lib/parallel/data.ts";
import { onBackends } from "../on_backends.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import type { DataInput, DataResult } from "./data_program.ts";

const MODULE = new URL("./data_program.ts", import.meta.url);

function replicas(ranks: number, input: DataInput): Promise<DataResult[]> {
  return runLocal<DataResult, DataInput>(MODULE, { ranks, input, timeLimitMs: PATIENCE_MS });
}

Deno.test("buckets go from the last parameter to the first and are filled up", () => {
  const parameters = [1000, 10, 20, 30, 5].map((count) => ({ count }));
  assert.deepEqual(bucketsOf(parameters, 4 * 50), [
    { parameters: [4, 3], elements: 35 },
    { parameters: [2, 1], elements: 30 },
    { parameters: [0], elements: 1000 },
  ]);
  assert.deepEqual(bucketsOf(parameters).length, 1);
  assert.deepEqual(bucketsOf([]), []);
});

Deno.test("shares of a batch follow each other and are equal", () => {
  assert.deepEqual(shareOf(12, { rank: 2, size: 4 }), { first: 6, count: 3 });
  assert.throws(() => shareOf(10, { rank: 0, size: 4 }), /10 sequences for 4 replicas/);
});

Deno.test("as many buckets travel as take 64 MiB besides the fewest", () => {
  const of = (count: number, elements: number) =>
    Array.from({ length: count }, () => ({ elements }));
  const mebi = 2 ** 20;
  assert.deepEqual(stagingElements(of(3, 5)), [5, 5, 5]);
  assert.deepEqual(stagingElements(of(40, mebi)), new Array(4 + 16).fill(mebi));
  assert.deepEqual(stagingElements(of(9, 20 * mebi)), new Array(4).fill(20 * mebi));
  const ends = [{ elements: 30 * mebi }, ...of(5, mebi), { elements: 40 * mebi }];
  assert.deepEqual(stagingElements(ends), [30, 1, 1, 1, 1, 1, 40].map((size) => size * mebi));
});

Deno.test("one replica copies no gradient, and each is ready once", () => {
  const refuse = () => assert.fail("a copy");
  const parameters = [{ count: 3, grad: 64 }, { count: 4, grad: 128 }];
  const backend = { download: refuse, upload: refuse };
  const reducer = new GradientReducer(backend, { parameters, replicas: alone() });
  reducer.ready(1);
  assert.throws(() => reducer.ready(1), /parameter 1 was ready before/);
  assert.throws(() => reducer.ready(2), /parameter 2 of 2/);
  reducer.finish();
  reducer.ready(1);
});

onBackends(
  "replicas' gradients are those of one process, and the same bits on each",
  async (on) => {
    const input = { backend: on.name, bucketBytes: 20_000, oneByOne: true };
    const [whole] = await replicas(1, input);
    for (const ranks of [2, 4]) {
      const results = await replicas(ranks, input);
      const loss = results.reduce((sum, result) => sum + result.loss, 0);
      assert.ok(Math.abs(loss - whole!.loss) <= 1e-6 * whole!.loss, `${loss}, ${whole!.loss}`);
      whole!.gradients.forEach((wanted, index) => {
        const largest = wanted.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
        const found = results[0]!.gradients[index]!;
        found.forEach((g, i) => assert.ok(Math.abs(g - wanted[i]!) <= 2e-5 * largest, `${index}`));
        for (const { gradients } of results) assert.deepEqual(gradients[index], found);
      });
    }
  },
);

onBackends("buckets and who is ready first change no bit", async (on) => {
  const small = await replicas(2, { backend: on.name, bucketBytes: 4000, oneByOne: true });
  const large = await replicas(2, { backend: on.name, bucketBytes: 2 ** 25, oneByOne: false });
  const late = await replicas(2, {
    ...{ backend: on.name, bucketBytes: 4000, oneByOne: true, overlap: false },
  });
  assert.ok(small[0]!.calls > 2 * 10, `${small[0]!.calls} calls`);
  // They leave before they are wanted, on the second rank all with the last, which is in the first.
  assert.deepEqual([small[0]!.early, small[1]!.early], [small[0]!.calls, small[0]!.calls]);
  assert.deepEqual([late[0]!.calls, late[0]!.early], [small[0]!.calls, 0]);
  assert.deepEqual(late[0]!.gradients, large[0]!.gradients);
  assert.equal(large[0]!.calls, 2);
  assert.deepEqual(small[1]!.gradients, large[0]!.gradients);
  // Both steps' gradients, each sent once by half and gathered once by half.
  const elements = large[0]!.gradients.reduce((sum, { length }) => sum + length, 0);
  assert.equal(large[0]!.bytes, 2 * 4 * elements);
});

Deno.test("a batch that does not divide ends all replicas with the rank and the numbers", async () => {
  const input = { backend: "wasm", bucketBytes: 4000, oneByOne: false } as const;
  await assert.rejects(replicas(3, input), (error) => {
    assert.ok(error instanceof CommunicationError);
    assert.match(error.message, /rank [012] failed: 4 sequences for 3 replicas/);
    return true;
  });
});
