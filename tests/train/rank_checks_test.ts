import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runLocal } from "../../lib/comm/local/run.ts";
import { datasetPaths } from "../../lib/formats/indexed_dataset.ts";
import { factsOf } from "../../lib/train/agreement.ts";
import { writeDataset } from "../data/dataset_fixture.ts";
import { PATIENCE_MS } from "../time_limits.ts";
import type { ChecksInput } from "./rank_checks_program.ts";
import { inRunFolder, smallRun, walks } from "./run_fixture.ts";
import type { SessionInput, SessionResult } from "./session_program.ts";

function check(ranks: number, input: ChecksInput): Promise<(string | undefined)[]> {
  const module = new URL("./rank_checks_program.ts", import.meta.url);
  return runLocal(module, { ranks, input, timeLimitMs: PATIENCE_MS });
}

const options = { version: "1", tokenizer: { files: [] }, backend: "wasm" };

Deno.test("ranks that are not the same are told apart by what a user would change", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const own = factsOf(smallRun(data), options);
    const moved = writeDataset(join(folder, "moved"), walks(40, 50));
    const other = writeDataset(join(folder, "other"), walks(41, 50));
    const cases: readonly [facts: unknown, message: RegExp | undefined][] = [
      [own, undefined],
      [factsOf(smallRun(moved), options), undefined],
      [factsOf(smallRun(data, { threads: 7, restarts: 3 }), options), undefined],
      [factsOf(smallRun(data, { lr: 0.5 }), options), /on rank 2 "lr" is 0.5, on rank 0 0.003/],
      [factsOf(smallRun(data, { mesh: "shard=3" }), options), /"mesh" is "shard=3"/],
      [factsOf(smallRun(data), { ...options, version: "2" }), /"version" is "2", on rank 0 "1"/],
      [factsOf(smallRun(data), { ...options, backend: "native" }), /"kernels" is "native/],
      [factsOf(smallRun(other), options), /rank 2 has other contents of "data" than rank 0/],
      [
        factsOf(smallRun(data), {
          ...options,
          tokenizer: { files: [{ name: "a", bytes: new Uint8Array(1) }] },
        }),
        /rank 2 has other contents of "tokenizer"/,
      ],
    ];
    for (const [facts, message] of cases) {
      const told = await check(3, { facts: [own, own, facts as typeof own] });
      assert.equal(new Set(told).size, 1, "ranks were told different things");
      if (message === undefined) assert.equal(told[0], undefined);
      else assert.match(told[0]!, message);
    }
  });
});

Deno.test("data that differ in one byte in the middle are other data", async () => {
  await inRunFolder(async ({ data }) => {
    const before = factsOf(smallRun(data), options);
    const { bin } = datasetPaths(data);
    const bytes = await Deno.readFile(bin);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(bin, bytes);
    assert.notDeepEqual(factsOf(smallRun(data), options).data, before.data);
  });
});

Deno.test("a bit that flips in one rank's weights ends the run, which names the rank", async () => {
  await inRunFolder(async ({ folder, data }) => {
    const module = new URL("./session_program.ts", import.meta.url);
    const train = (checkReplicas: number) => {
      const config = smallRun(data, { mesh: "data=4", microBatch: 1, checkReplicas });
      const run = join(folder, `run-${checkReplicas}`);
      const input: SessionInput = { config, run, backend: "auto", corrupted: 7 };
      const options = { ranks: 4, input: [input], timeLimitMs: PATIENCE_MS };
      return runLocal<SessionResult[]>(module, options);
    };
    await assert.rejects(train(5), /after step 10: rank 0 differs in "model.layers.0/);
    // Nobody would have noticed.
    assert.equal((await train(0))[0]![0]!.rows.length, 12);
  });
});

Deno.test("a replica whose weights differ is named, and where none can be told both are", async () => {
  const alike = [1, 2];
  const told = async (mesh: string, weights: number[][]) => {
    const messages = await check(weights.length, { mesh, weights });
    assert.equal(new Set(messages).size, 1, "ranks were told different things");
    return messages[0];
  };
  assert.equal(await told("data=2,shard=2", [alike, alike, alike, alike]), undefined);
  // Tensor ranks have other slices, and no replicas of them.
  assert.equal(await told("data=2,tensor=2", [[1], [2], [1], [2]]), undefined);
  assert.match(
    (await told("data=4", [alike, alike, [1, 3], alike]))!,
    /step 200: rank 2 differs in "tensor"/,
  );
  assert.match(
    (await told("data=2", [alike, [1, -2]]))!,
    /ranks 0 and 1 differ in "tensor"; which/,
  );
  assert.match((await told("data=2,tensor=2", [[1], [2], [1], [3]]))!, /ranks 1 and 3 differ/);
});
