/** MPICH beside Open MPI: other handles, another status, another launcher. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { launch, NO_MPI, type RankEnd } from "./launch.ts";
import { messageOf } from "../on_transports.ts";
import { numbersOf } from "../rank_programs.ts";

const PROGRAMS = new URL("../rank_programs.ts", import.meta.url);
/** Both families call their launcher mpirun; this one is MPICH's alone. */
const HYDRA = "mpiexec.hydra";
/** Without it Hydra kills the others before they can say a word. */
const SPARING = [HYDRA, "-disable-auto-cleanup"];

function hydraIsHere(): boolean {
  try {
    return new Deno.Command(HYDRA, { args: ["--version"], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch {
    return false;
  }
}

const missing = hydraIsHere()
  ? NO_MPI === "mpirun is not here" ? undefined : NO_MPI
  : `${HYDRA} is not here`;

function onMpich(name: string, fn: () => Promise<void>): void {
  if (missing === undefined) Deno.test(name, fn);
  else Deno.test({ name: `${name} (ignored: ${missing})`, ignore: true, fn: () => {} });
}

onMpich("ranks of MPICH get the tree's sum", async () => {
  const { ends } = await launch<Float32Array[]>(PROGRAMS, {
    ...{ ranks: 3, launcher: [HYDRA], input: { program: "allReduce", lengths: [50_003] } },
  });
  const [a, b, c] = [0, 1, 2].map((rank) => numbersOf(rank, 50_003));
  const wanted = a!.map((value, i) => Math.fround(Math.fround(value + b![i]!) + c![i]!));
  for (const { code, said, result } of ends) {
    assert.equal(code, 0, said);
    assert.deepEqual(result![0], wanted);
  }
});

onMpich("ranks of MPICH end together", async () => {
  const { ends } = await launch(PROGRAMS, {
    ...{ ranks: 3, launcher: SPARING, input: { program: "throwing" } },
  });
  const said = ends.map((end: RankEnd) => messageOf(end));
  assert.equal(said[1], "no such luck");
  for (const rank of [0, 2]) assert.match(said[rank]!, /rank 1 failed: no such luck$/);
});

onMpich("ranks of MPICH that the launcher spares name the one that was killed", async () => {
  const { ends } = await launch(PROGRAMS, {
    ...{ ranks: 3, input: { program: "endless" } },
    launcher: SPARING,
    async meanwhile(folder, running) {
      const path = (rank: number) => join(folder, `${rank}.pid`);
      while (running() && [0, 1, 2].some((rank) => !existsSync(path(rank)))) await pause(10);
      await pause(100);
      Deno.kill(Number(readFileSync(path(1), "utf8")), "SIGKILL");
    },
  });
  for (const rank of [0, 2]) assert.match(messageOf(ends[rank]!)!, /rank 1 is gone/);
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
