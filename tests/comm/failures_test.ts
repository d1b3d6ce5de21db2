import assert from "node:assert/strict";
import { CommunicationError, ConfigError } from "../../lib/base/errors.ts";
import { onRanks } from "./on_ranks.ts";
import { type OnTransport, onTransports, type TransportOptions } from "./on_transports.ts";

interface FailureOptions extends TransportOptions {
  readonly ranks: number;
  readonly program: string;
}

/** What a program fails with, which must not take long. */
async function failure({ run }: OnTransport, options: FailureOptions): Promise<CommunicationError> {
  const { ranks, program, ...rest } = options;
  const began = performance.now();
  try {
    await run(ranks, { program }, rest);
  } catch (error) {
    assert.ok(error instanceof CommunicationError, String(error));
    assert.ok(performance.now() - began < 30_000, "it ends soon");
    return error;
  }
  return assert.fail("it went on");
}

onTransports("a rank that throws ends all, and is named with what it threw", async (on) => {
  for (const ranks of [2, 5]) {
    const error = await failure(on, { ranks, program: "throwing" });
    assert.equal(
      error.message,
      `The work of ${ranks} ranks has ended: rank 1 failed: no such luck`,
    );
    assert.equal(error.rank, 1);
  }
}, { only: "local" });

onTransports("a rank that throws outside its function is named too", async (on) => {
  const error = await failure(on, { ranks: 3, program: "throwingLater" });
  assert.match(error.message, /rank 1 failed: in a timer/);
}, { only: "local" });

onTransports("a rank that dies without a word ends all, and is named", async (on) => {
  const error = await failure(on, { ranks: 4, program: "leaving" });
  assert.match(error.message, /rank 1 ended without a result \(exit code \d+\)/);
  assert.equal(error.rank, 1);
}, { only: "local" });

Deno.test("a rank that is gone in the midst of collectives ends all soon, at any instant", async () => {
  for (let instant = 0; instant < 10; instant++) {
    const input = { program: "killed", killAfterMs: 1 + instant ** 2 };
    const began = performance.now();
    await assert.rejects(onRanks(3, input), (error) => {
      assert.ok(error instanceof CommunicationError);
      assert.equal(error.rank, 2);
      assert.match(error.message, /rank 2 ended without a result \(exit code 9\)/);
      return true;
    });
    assert.ok(performance.now() - began < 30_000, "it ends soon");
  }
});

onTransports("a rank that has finished is not waited for", async (on) => {
  const error = await failure(on, { ranks: 3, program: "finishingEarly" });
  assert.match(
    error.message,
    /Rank [02] cannot finish allReduce 0 of 20000 bytes in "world": rank 1 has ended without it/,
  );
});

onTransports(
  "a rank that keeps silent for the time limit is named, and is ended itself",
  async (on) => {
    const error = await failure(on, { ranks: 3, program: "silent", timeLimitMs: 1500 });
    assert.match(
      error.message,
      /allReduce 0 of 20000 bytes in "world": rank 1 has not sent for 1.5 s/,
    );
  },
);

onTransports("calls of different sizes are named", async (on) => {
  const error = await failure(on, { ranks: 3, program: "otherSizes" });
  assert.match(error.message, /Rank \d cannot finish allReduce 0 of (2000|2400) bytes/);
  assert.match(error.message, /rank \d called allReduce 0 of (2000|2400) bytes$/);
});

onTransports("parts cut differently are named", async (on) => {
  const error = await failure(on, { ranks: 2, program: "otherParts" });
  assert.match(
    error.message,
    /reduceScatter 0 of 16 bytes in "world": .* with a part of \d+ bytes$/,
  );
});

onTransports("different calls are named", async (on) => {
  const error = await failure(on, { ranks: 3, program: "otherCalls" });
  assert.match(error.message, /cannot finish all(Reduce|Gather) 0 of 2000 bytes/);
  assert.match(error.message, /rank \d called all(Reduce|Gather) 0 of 2000 bytes$/);
});

onTransports("a call that was never waited for here is named by the next one", async (on) => {
  const error = await failure(on, { ranks: 2, program: "otherRoots" });
  assert.match(error.message, /cannot finish barrier 1 .* called broadcast 0 of 12 bytes$/);
});

onTransports("a message of another size than its receiver's is named", async (on) => {
  const error = await failure(on, { ranks: 2, program: "otherMessage" });
  assert.match(
    error.message,
    /Rank 0 cannot finish a message with tag 0 of 16 bytes in "world": rank 1 sent a message with tag 0 of 12 bytes$/,
  );
});

onTransports("a rank does not send to itself", async (on) => {
  const error = await failure(on, { ranks: 2, program: "selfSend" });
  assert.match(error.message, /a rank sends nothing to itself$/);
});

Deno.test("numbers of ranks that are none are refused", async () => {
  for (const ranks of [0, -1, 1.5, 257, NaN]) {
    await assert.rejects(onRanks(ranks, { program: "barrier" }), ConfigError);
  }
});
