import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MEETING_PREFIX } from "../../lib/comm/processes/start.ts";
import { readEvents } from "../../lib/train/events.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { type RunPaths, runPaths } from "../../lib/train/run_folder.ts";
import { EMULATED_LIBRARY, EMULATED_NCCL } from "../../scripts/build_cuda.ts";
import { onEmulatedGpus } from "../comm/device/emulated_gpus.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { assertSameRun } from "../train/tolerances.ts";
import { processesWith } from "./processes.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder, type TrainingFolder } from "./train_fixture.ts";

const REPOSITORY = new URL("../../", import.meta.url);
const ENVIRONMENT = {
  LLAMERO_CUDA: EMULATED_LIBRARY,
  LLAMERO_NCCL: EMULATED_NCCL,
  LLAMERO_EMULATED_GPUS: "2",
};

/** What `deno task llamero` grants. */
const PERMISSIONS = ["read", "write", "env", "ffi", "sys", "run"].map((what) => `--allow-${what}`);

interface Started {
  readonly paths: RunPaths;
  readonly ended: Promise<{ readonly code: number; readonly stderr: string }>;
}

/** Starts training in a folder as a process. */
function start(
  { folder, inputs }: TrainingFolder,
  run: string,
  ...flags: readonly string[]
): Started {
  const paths = runPaths(join(folder, run));
  const files = ["--out", paths.run, ...inputs];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...PERMISSIONS, "--no-check", "cli/main.ts", "train", ...files]
      .concat("--sample-every", "999", flags),
    cwd: REPOSITORY,
    env: ENVIRONMENT,
    ...{ stdin: "null", stdout: "null", stderr: "piped" },
  }).spawn();
  const ended = child.output().then(({ code, stderr }) => (
    { code, stderr: new TextDecoder().decode(stderr) }
  ));
  return { paths, ended };
}

/** Processes of a run that are ranks, or one of them. */
function ranksOf({ run }: RunPaths, rank = ""): number[] {
  return processesWith(run, `LLAMERO_RANK_SEAT=${rank}.*`);
}

/** Waits for a row of metrics, then kills the rank of a run. */
async function strike({ paths, ended }: Started, { rank, rows }: {
  readonly rank: number;
  readonly rows: number;
}): Promise<void> {
  let over = false;
  void ended.then(() => over = true);
  while (!over && readMetrics(paths.metrics).length < rows) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const [found] = ranksOf(paths, `${rank}/2/`);
  assert.ok(found !== undefined, "the rank is not there");
  Deno.kill(found, "SIGKILL");
}

/** Files by which ranks have met, and those of the emulated NCCL. */
function leftovers(): string[] {
  const { stdout } = new Deno.Command("ls", { args: ["/dev/shm", tmpdir()] }).outputSync();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((name) => name.startsWith(MEETING_PREFIX) || name.startsWith("llamero-fake-nccl-"));
}

onEmulatedGpus("--gpus 2 trains what --gpus 1 trains, in two processes; one prints", async () => {
  await inTrainingFolder(async (folder) => {
    const flags = ["--steps", "5", "--log-every", "1", "--gpus"];
    const one = start(folder, "one", ...flags, "1");
    assert.equal((await one.ended).code, 0, (await one.ended).stderr);
    const two = start(folder, "two", ...flags, "2");
    const { code, stderr } = await two.ended;
    assert.equal(code, 0, stderr);
    for (const step of [1, 2, 3, 4, 5]) {
      assert.equal(stderr.split(`step ${step}/5`).length, 2, stderr);
    }
    assert.equal(readMetrics(two.paths.metrics).length, 5);
    assertSameRun(readMetrics(two.paths.metrics), readMetrics(one.paths.metrics));
    const backends = readEvents(two.paths.events).filter(({ event }) => event === "start");
    assert.deepEqual(backends.map((event) => "backend" in event && event.backend), ["cuda"]);
    assert.deepEqual(leftovers(), []);
    // What went from GPU to GPU is told: all gradients once a step by each of two, and losses.
    const config = readFileSync(two.paths.config, "utf8");
    const parameters = Number(/^# ([\d,]+) parameters$/m.exec(config)![1]!.replaceAll(",", ""));
    const sent = readEvents(two.paths.events)
      .reduce((sum, event) => sum + ("schemes" in event ? event.schemes.data!.bytes : 0), 0);
    const wanted = 5 * 2 * 4 * parameters;
    assert.ok(Math.abs(sent - wanted) <= 0.05 * wanted, `${sent} bytes, ${wanted} were wanted`);
  });
});

onEmulatedGpus("a run that the GPU has no memory for is refused before it begins", async () => {
  await inTrainingFolder(async ({ folder, tokenizer, text, config }) => {
    const files = ["--out", join(folder, "run"), "--config", config, "--text", text];
    Deno.env.set("LLAMERO_EMULATED_GPU_BYTES", "100000");
    try {
      const args = ["train", ...files, "--tokenizer", tokenizer, "--steps", "2", "--gpus", "1"];
      const { code, stderr } = await runCli(args, { env: ENVIRONMENT });
      assert.equal(code, 1, stderr);
      assert.match(stderr, /it takes .*, and this GPU has /);
    } finally {
      Deno.env.delete("LLAMERO_EMULATED_GPU_BYTES");
    }
  });
});

onEmulatedGpus(
  "a rank that is killed ends the others and is named, and nobody is left",
  async () => {
    await inTrainingFolder(async (folder) => {
      const run = start(folder, "killed", "--steps", "400", "--quiet", "--gpus", "2");
      await strike(run, { rank: 1, rows: 2 });
      const { code, stderr } = await run.ended;
      assert.equal(code, 1, stderr);
      assert.match(stderr, /rank 1 is gone: its process was ended by SIGKILL without a word/);
      assert.equal(stderr.match(/^llamero: /gm)?.length, 1, stderr);
      assert.deepEqual(ranksOf(run.paths), []);
      assert.deepEqual(leftovers(), []);
    });
  },
);

onEmulatedGpus("--restarts starts all GPUs again, to the same bytes", async () => {
  await inTrainingFolder(async (folder) => {
    const flags = ["--steps", "12", "--save-every", "4", "--quiet", "--gpus", "2"];
    const whole = start(folder, "whole", ...flags);
    assert.equal((await whole.ended).code, 0, (await whole.ended).stderr);
    const struck = start(folder, "struck", ...flags, "--restarts", "2");
    await strike(struck, { rank: 0, rows: 6 });
    const { code, stderr } = await struck.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /rank 0 is gone: .* SIGKILL .*; started again, 1 of 2/);
    assert.deepEqual(await checkpointHashes(struck.paths), await checkpointHashes(whole.paths));
    assert.deepEqual(
      timeless(readMetrics(struck.paths.metrics)),
      timeless(readMetrics(whole.paths.metrics)),
    );
  });
});

onEmulatedGpus("more GPUs than there are, and what contradicts them, are refused", async () => {
  await inTrainingFolder(async (folder) => {
    const cases: readonly (readonly [readonly string[], RegExp, Record<string, string>?])[] = [
      [["--gpus", "3"], /Cannot train on 3 GPUs: 2 are visible/],
      [["--gpus", "2", "--backend", "native"], /--gpus 2 and --backend native exclude each other/],
      [["--gpus", "2", "--virtual-ranks", "2"], /--gpus and --virtual-ranks exclude each other/],
      [
        ["--gpus", "2"],
        /Cannot start 2 processes in each of 4: mpirun of Open MPI has started them/,
        { OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "4" },
      ],
    ];
    Deno.env.set("LLAMERO_EMULATED_GPUS", "2");
    for (const [flags, message, env = {}] of cases) {
      const out = join(folder.folder, "refused");
      const args = ["train", "--out", out, "--tokenizer", folder.tokenizer, "--text", folder.text];
      const { code, stderr } = await runCli([...args, ...flags], {
        env: { ...ENVIRONMENT, ...env },
      });
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.throws(() => Deno.statSync(out), Deno.errors.NotFound);
    }
  });
});

Deno.test("without the CUDA kernels, --gpus says how they are built", async () => {
  const env = { LLAMERO_CUDA: "/nowhere/libllamero_cuda.so" };
  const { code, stderr } = await runCli(["train", "--out", "/nowhere/run", "--gpus", "2"], { env });
  assert.equal(code, 1, stderr);
  assert.match(stderr, /Cannot train on GPUs: no library at .*\nhint: deno task build:cuda/);
});
