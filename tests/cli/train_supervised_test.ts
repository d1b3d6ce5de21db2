import assert from "node:assert/strict";
import { join } from "node:path";
import { type ChildEnd, supervise } from "../../cli/supervisor.ts";
import { readEvents } from "../../lib/train/events.ts";
import { readMetrics } from "../../lib/train/metrics.ts";
import { runPaths } from "../../lib/train/run_folder.ts";
import { REPOSITORY } from "../fixtures.ts";
import { checkpointHashes, timeless } from "../train/run_fixture.ts";
import { processesWith } from "./processes.ts";
import { runCli } from "./run_cli.ts";
import { inTrainingFolder } from "./train_fixture.ts";

const killed: ChildEnd = { code: 137, signal: "SIGKILL" };

Deno.test("a child that is killed is followed by another, so often at most", async () => {
  for (const [restarts, started] of [[0, 1], [2, 3], [9, 4]] as const) {
    const ends = [killed, killed, killed, { code: 0, signal: undefined }];
    const calls: unknown[] = [];
    const code = await supervise((args) => {
      calls.push(args);
      return Promise.resolve(ends[calls.length - 1]!);
    }, {
      again: () => ["again"],
      restarts,
      signal: new AbortController().signal,
      onRestart: () => {},
    });
    assert.equal(calls.length, started);
    assert.deepEqual(calls, [undefined, ["again"], ["again"], ["again"]].slice(0, started));
    assert.equal(code, started === 4 ? 0 : 137);
  }
});

Deno.test("a child that ends by itself, or after it was asked to, is not followed", async () => {
  const asked = new AbortController();
  asked.abort();
  const own = new AbortController();
  for (
    const [end, signal] of [
      [{ code: 1, signal: undefined }, own.signal],
      [{ code: 130, signal: undefined }, own.signal],
      [killed, asked.signal],
    ] as const
  ) {
    let starts = 0;
    const code = await supervise(() => Promise.resolve((starts++, end)), {
      ...{ again: () => undefined, restarts: 5, signal, onRestart: () => {} },
    });
    assert.deepEqual([code, starts], [end.code, 1]);
  }
});

/** The process that trains in a folder under a supervisor. */
function trainerOf(run: string): number | undefined {
  return processesWith(run, "LLAMERO_SUPERVISED=1")[0];
}

Deno.test({
  name: "--restarts: a run whose process is killed twice ends with the same bytes",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inTrainingFolder(async ({ folder, inputs }) => {
      const set = [...inputs, "--quiet"];
      const flags = ["--steps", "200", "--save-every", "20", "--restarts", "3"];
      const [whole, struck] = ["whole", "struck"].map((name) => runPaths(join(folder, name)));
      assert.equal((await runCli(["train", "--out", whole!.run, ...set, ...flags])).code, 0);
      const supervisor = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "cli/main.ts", "train", "--out", struck!.run]
          .concat(set, flags),
        cwd: REPOSITORY,
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn();
      for (const rows of [30, 90]) {
        while (readMetrics(struck!.metrics).length < rows) {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        const trainer = trainerOf(struck!.run);
        if (trainer !== undefined) Deno.kill(trainer, "SIGKILL");
      }
      const { code, stderr } = await supervisor.output();
      const said = new TextDecoder().decode(stderr);
      assert.equal(code, 0, said);
      assert.match(said, /ended by SIGKILL; started again, 2 of 3/);
      const restarts = readEvents(struck!.events).filter(({ event }) => event === "restart");
      assert.equal(restarts.length, 2);
      assert.deepEqual(await checkpointHashes(struck!), await checkpointHashes(whole!));
      assert.deepEqual(
        timeless(readMetrics(struck!.metrics)),
        timeless(readMetrics(whole!.metrics)),
      );
    }),
});
