import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMetrics } from "../../lib/train/metrics.ts";
import { checkpointSteps, runPaths } from "../../lib/train/run_folder.ts";
import { launchLlamero, type LaunchOptions, NO_MPI, type RankEnd } from "../comm/mpi/launch.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { processesWith } from "./processes.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder, type TrainingFolder } from "./train_fixture.ts";

/** Registers a test that needs `mpirun`. */
function onProcesses(name: string, body: (folder: TrainingFolder) => Promise<void>): void {
  const reason = NO_MPI ?? (Deno.build.os === "linux" ? undefined : "only Linux has /proc");
  if (reason === undefined) Deno.test(name, () => inTrainingFolder(body));
  else Deno.test({ name: `${name} (ignored: ${reason})`, ignore: true, fn: () => {} });
}

const STEPS = 6;

function setUp({ inputs }: TrainingFolder): string[] {
  return [...inputs, "--save-every", "2", "--log-every", "1"];
}

function llamero(args: readonly string[], options: Partial<LaunchOptions> = {}) {
  return launchLlamero(args, { ranks: 2, ...options });
}

/** The line that a command ends with when it fails. */
function errorOf({ said }: RankEnd): string {
  return said.match(/^llamero: .*$/m)?.[0] ?? said;
}

onProcesses(
  "two processes write what two virtual ranks write, and only rank 0 shows",
  async (folder) => {
    const set = [...setUp(folder), "--mesh", "data=2", "--steps", `${STEPS}`];
    const [virtual, processes] = ["virtual", "mpi"].map((name) => join(folder.folder, name));
    const wanted = await runCli(["train", "--out", virtual!, ...set, "--virtual-ranks", "2"]);
    assert.equal(wanted.code, 0, wanted.stderr);
    const { ends, stdout } = await llamero(["train", "--out", processes!, ...set, "--json"]);
    for (const { code, said } of ends) assert.equal(code, 0, said);
    assert.equal(ends[1]!.said, "");
    assert.equal(JSON.parse(stdout).step, STEPS);
    const [is, was] = [runPaths(processes!), runPaths(virtual!)];
    assert.deepEqual(await checkpointHashes(is), await checkpointHashes(was));
    assert.deepEqual(timeless(readMetrics(is.metrics)), timeless(readMetrics(was.metrics)));
  },
);

const KILLS = 10;

onProcesses(
  `a run of two processes of which one is killed at ${KILLS} random instants ends as one that never was`,
  async (folder) => {
    const set = [
      ...setUp(folder),
      "--mesh",
      "data=2",
      "--steps",
      "400",
      "--save-every",
      "4",
      "--quiet",
    ];
    const [whole, broken] = ["whole", "broken"].map((name) => runPaths(join(folder.folder, name)));
    const first = await llamero(["train", "--out", whole!.run, ...set]);
    assert.equal(first.ends[0]!.code, 0, first.ends[0]!.said);
    let args = ["train", "--out", broken!.run, ...set];
    for (let kill = 0; kill < KILLS; kill++) {
      const victim = kill % 2;
      const rows = readMetrics(broken!.metrics).length;
      let struck = 0;
      const { ends } = await llamero(args, {
        meanwhile: async (_, running) => {
          while (running() && readMetrics(broken!.metrics).length < rows + 3) await pause(5);
          await pause(Math.random() * 20);
          struck = performance.now();
          killRank(victim, broken!.run);
        },
      });
      const other = ends[1 - victim]!;
      assert.equal(other.code, 1, other.said);
      assert.match(errorOf(other), new RegExp(`rank ${victim} is gone`));
      assert.ok(performance.now() - struck < 30_000);
      args = ["train", "--out", broken!.run, "--resume", "--quiet"];
    }
    const last = await llamero(args);
    for (const { code, said } of last.ends) assert.equal(code, 0, said);
    assert.deepEqual(await checkpointHashes(broken!), await checkpointHashes(whole!));
    assert.deepEqual(timeless(readMetrics(broken!.metrics)), timeless(readMetrics(whole!.metrics)));
  },
);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends a signal to the process that trains in a folder as a rank. */
function killRank(rank: number, run: string, signal: Deno.Signal = "SIGKILL"): void {
  for (const process of processesWith(run, `OMPI_COMM_WORLD_RANK=${rank}`)) {
    try {
      Deno.kill(process, signal);
    } catch (error) {
      // It has ended meanwhile.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

onProcesses("a rank that is asked to end saves with all others", async (folder) => {
  const set = [...setUp(folder), "--steps", "5000", "--save-every", "5000", "--quiet"];
  const paths = runPaths(join(folder.folder, "run"));
  const { ends } = await llamero(["train", "--out", paths.run, ...set], {
    meanwhile: async (_, running) => {
      while (running() && readMetrics(paths.metrics).length < 5) await pause(5);
      killRank(1, paths.run, "SIGTERM");
    },
  });
  assert.deepEqual(ends.map(({ code }) => code), [130, 130]);
  const { step } = readMetrics(paths.metrics).at(-1)!;
  assert.ok(step < 5000);
  assert.match(errorOf(ends[0]!), new RegExp(`Interrupted after step ${step}, which is saved`));
  assert.deepEqual(checkpointSteps(paths), [step]);
});

onProcesses("ranks that were asked for different things are named", async (folder) => {
  const set = [...setUp(folder), "--steps", "2"];
  const script = join(folder.folder, "rank.sh");
  // As where two machines have different scripts.
  writeFileSync(script, `[ "$OMPI_COMM_WORLD_RANK" = 1 ] && set -- "$@" --seed 7\nexec "$@"\n`);
  const { ends } = await llamero(["train", "--out", join(folder.folder, "run"), ...set], {
    around: ["sh", script],
  });
  for (const { code, said } of ends) assert.equal(code, 2, said);
  assert.match(errorOf(ends[0]!), /on rank 1 "seed" is 7, on rank 0 0/);
  assert.equal(ends[1]!.said, "");
});

onProcesses(
  "a mesh of another size than the launcher's is refused on all ranks",
  async (folder) => {
    const set = [...setUp(folder), "--steps", "2", "--mesh", "data=3"];
    const run = join(folder.folder, "run");
    const { ends } = await llamero(["train", "--out", run, ...set]);
    assert.equal(ends[0]!.code, 2);
    assert.match(errorOf(ends[0]!), /"data=3": it has 3 ranks and there are 2 ranks/);
    assert.equal(ends[1]!.code, 2);
    assert.equal(ends[1]!.said, "");
  },
);

onProcesses("what is half set in the environment is refused", async (folder) => {
  const set = [...setUp(folder), "--steps", "2"];
  const { ends } = await llamero(["train", "--out", join(folder.folder, "run"), ...set], {
    variables: { OMPI_COMM_WORLD_SIZE: "" },
  });
  for (const end of ends) {
    assert.equal(end.code, 2);
    assert.match(errorOf(end), /OMPI_COMM_WORLD_RANK is set and OMPI_COMM_WORLD_SIZE is not/);
  }
});
