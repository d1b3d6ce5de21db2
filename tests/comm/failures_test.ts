import assert from "node:assert/strict";
import { CommunicationError, ConfigError } from "../../lib/base/errors.ts";
import type { LocalRunOptions } from "../../lib/comm/local/run.ts";
import { onRanks } from "./on_ranks.ts";

/** What a program fails with, which must not take long. */
async function failure(
  ranks: number,
  program: string,
  options: Partial<LocalRunOptions<never>> = {},
): Promise<CommunicationError> {
  const began = performance.now();
  try {
    await onRanks(ranks, { program }, { graceMs: 300, ...options });
  } catch (error) {
    assert.ok(error instanceof CommunicationError, String(error));
    assert.ok(performance.now() - began < 20_000, "it ends soon");
    return error;
  }
  return assert.fail("it went on");
}

Deno.test("a rank that throws ends all, and is named with what it threw", async () => {
  for (const ranks of [2, 5]) {
    const error = await failure(ranks, "throwing");
    assert.equal(
      error.message,
      `The work of ${ranks} ranks has ended: rank 1 failed: no such luck`,
    );
    assert.equal(error.rank, 1);
  }
});

Deno.test("a rank that throws outside its function is named too", async () => {
  const error = await failure(3, "throwingLater");
  assert.match(error.message, /rank 1 failed: in a timer/);
});

Deno.test("a rank that dies without a word ends all, and is named", async () => {
  const error = await failure(4, "leaving");
  assert.match(error.message, /rank 1 ended without a result \(exit code \d+\)/);
  assert.equal(error.rank, 1);
});

Deno.test("a rank that has finished is not waited for", async () => {
  const error = await failure(3, "finishingEarly");
  assert.match(
    error.message,
    /Rank [02] cannot finish allReduce 0 of 20000 bytes in "world": rank 1 has ended without it/,
  );
});

Deno.test("a rank that keeps silent for the time limit is named, and is ended itself", async () => {
  const error = await failure(3, "silent", { timeLimitMs: 1500 });
  assert.match(
    error.message,
    /allReduce 0 of 20000 bytes in "world": rank 1 has not sent for 1.5 s/,
  );
});

Deno.test("calls of different sizes are named", async () => {
  const error = await failure(3, "otherSizes");
  assert.match(error.message, /Rank \d cannot finish allReduce 0 of (2000|2400) bytes/);
  assert.match(error.message, /rank \d called allReduce 0 of (2000|2400) bytes$/);
});

Deno.test("parts cut differently are named", async () => {
  const error = await failure(2, "otherParts");
  assert.match(
    error.message,
    /reduceScatter 0 of 16 bytes in "world": .* with a part of \d+ bytes$/,
  );
});

Deno.test("different calls are named", async () => {
  const error = await failure(3, "otherCalls");
  assert.match(error.message, /cannot finish all(Reduce|Gather) 0 of 2000 bytes/);
  assert.match(error.message, /rank \d called all(Reduce|Gather) 0 of 2000 bytes$/);
});

Deno.test("a call that was never waited for here is named by the next one", async () => {
  const error = await failure(2, "otherRoots");
  assert.match(error.message, /cannot finish barrier 1 .* called broadcast 0 of 12 bytes$/);
});

Deno.test("a message of another size than its receiver's is named", async () => {
  const error = await failure(2, "otherMessage");
  assert.match(
    error.message,
    /Rank 0 cannot finish a message with tag 0 of 16 bytes in "world": rank 1 sent a message with tag 0 of 12 bytes$/,
  );
});

Deno.test("a rank does not send to itself", async () => {
  const error = await failure(2, "selfSend");
  assert.match(error.message, /rank [01] failed: a rank sends nothing to itself/);
});

Deno.test("numbers of ranks that are none are refused", async () => {
  for (const ranks of [0, -1, 1.5, 257, NaN]) {
    await assert.rejects(onRanks(ranks, { program: "barrier" }), ConfigError);
  }
});
