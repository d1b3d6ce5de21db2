/** How processes end when one of them dies: every other one soon, with exit code 1, naming it. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../on_transports.ts";
import { launch, NO_MPI, type RankEnd } from "./launch.ts";

const PROGRAMS = new URL("../rank_programs.ts", import.meta.url);
const SILENCE_MS = 3000;
/** Without it `mpirun` kills the others itself, before they can be late. */
const SPARING = ["--enable-recovery"];

/** Registers a test that needs `mpirun`. */
function onProcesses(name: string, fn: () => Promise<void>): void {
  if (NO_MPI === undefined) Deno.test(name, fn);
  else Deno.test({ name: `${name} (ignored: ${NO_MPI})`, ignore: true, fn: () => {} });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The process of a rank that has begun its work. */
async function processOf(folder: string, rank: number): Promise<number> {
  const path = join(folder, `${rank}.pid`);
  for (let waited = 0; waited < 60_000; waited += 10) {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    if (text !== "") return Number(text);
    await pause(10);
  }
  return assert.fail(`rank ${rank} did not begin`);
}

interface Blow {
  readonly victim: number;
  readonly afterMs: number;
  readonly signal?: Deno.Signal;
  readonly computeMs?: number;
  readonly flags?: readonly string[];
}

/** Three ranks in endless collectives, of which one is struck; all ends, and how long that took. */
async function struck(blow: Blow): Promise<{ ends: RankEnd[]; ms: number }> {
  const { victim, afterMs, signal = "SIGKILL", computeMs = 0, flags = [] } = blow;
  let [at, child] = [0, 0];
  const { ends } = await launch(PROGRAMS, {
    ...{ ranks: 3, input: { program: "endless", computeMs }, flags },
    world: { silenceMs: SILENCE_MS, heartbeatMs: 200 },
    async meanwhile(folder) {
      for (let rank = 0; rank < 3; rank++) child = await processOf(folder, rank);
      child = await processOf(folder, victim);
      await pause(afterMs);
      at = performance.now();
      Deno.kill(child, signal);
      if (signal !== "SIGSTOP") return;
      // So that `mpirun` ends: it waits for who only sleeps.
      await pause(2 * SILENCE_MS);
      Deno.kill(child, "SIGKILL");
    },
  });
  return { ends, ms: performance.now() - at };
}

function checkEnds(ends: readonly RankEnd[], victim: number, reason: RegExp): void {
  ends.forEach((end, rank) => {
    if (rank === victim) return;
    assert.equal(end.code, 1, `rank ${rank}: ${end.said}`);
    assert.match(messageOf(end) ?? end.said, reason);
  });
}

onProcesses(
  "whichever rank is killed, at whatever instant, the others end and name it",
  async () => {
    for (let instant = 0; instant < 10; instant++) {
      const victim = instant % 3;
      const { ends, ms } = await struck({ victim, afterMs: Math.random() * 200 });
      checkEnds(
        ends,
        victim,
        new RegExp(`rank ${victim} is gone: its process ended without a word$`),
      );
      assert.ok(ms < 30_000);
    }
  },
);

onProcesses("ranks end by themselves where the launcher does not end them", async () => {
  for (const victim of [0, 2]) {
    const { ends, ms } = await struck({ victim, afterMs: 50, flags: SPARING });
    checkEnds(ends, victim, new RegExp(`rank ${victim} is gone`));
    assert.ok(ms < 30_000);
  }
});

onProcesses("ranks in a long computation end too, before the launcher kills them", async () => {
  for (const flags of [[], SPARING]) {
    const { ends, ms } = await struck({ victim: 2, afterMs: 50, computeMs: 60_000, flags });
    checkEnds(ends, 2, /The work of 3 ranks has ended: rank 2 is gone/);
    assert.ok(ms < 30_000);
  }
});

onProcesses("a rank that is silent is taken for lost", async () => {
  const blow = { victim: 1, afterMs: 50, signal: "SIGSTOP", flags: SPARING } as const;
  const { ends } = await struck(blow);
  checkEnds(ends, 1, /rank 1 has been silent for 3 s/);
});

onProcesses("a rank that throws tells the others what", async () => {
  const { ends } = await launch(PROGRAMS, { ranks: 3, input: { program: "throwing" } });
  assert.deepEqual(ends.map(({ code }) => code), [1, 1, 1]);
  assert.deepEqual(ends.map(messageOf), [
    "The work of 3 ranks has ended: rank 1 failed: no such luck",
    "no such luck",
    "The work of 3 ranks has ended: rank 1 failed: no such luck",
  ]);
});

onProcesses("a launcher of which this library is not is told apart", async () => {
  const { ends } = await launch(PROGRAMS, {
    ...{ ranks: 2, input: { program: "throwing" } },
    variables: { OMPI_COMM_WORLD_SIZE: "3" },
  });
  for (const end of ends) {
    assert.equal(end.code, 1);
    assert.match(messageOf(end)!, /as rank \d of 3, and MPI sees rank \d of 2/);
  }
});
